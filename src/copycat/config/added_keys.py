"""Keys that recorded configurations of earlier versions lack."""

from collections.abc import Mapping

ADDED_GROUPS = frozenset(["initialization", "metrics"])
ADDED_KEYS = ADDED_GROUPS | {"lr_multipliers", "decay_bias_and_norm", "normalize"}
"""Keys added later, which older recorded runs lack."""
ADDED_DEFAULTS: Mapping[str, bool | int | None] = {
    **dict.fromkeys(("data.sampler", "data.cat_share", "data.groups", "trainer.max_time", "normalize")),
    **dict.fromkeys(("data.label_columns", "data.label_separator")),
    **dict.fromkeys(("data.multi_label", "data.cache"), False),
    **dict.fromkeys(("trainer.compile", "trainer.channels_last", "trainer.activation_checkpointing"), False),
    "data.cache_gb": 20,
    "decay_bias_and_norm": True,
}
"""Keys added later, with the default that older recorded runs have by lacking them."""
