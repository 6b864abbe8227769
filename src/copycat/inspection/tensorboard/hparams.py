"""The summaries that TensorBoard's HParams reads: a run's start and its end.

A third kind selects what is shown, but TensorBoard takes the first one it finds for all runs. Without one it shows the
hyper-parameters and metrics of every run, with filters. TensorBoard's own writers of these need TensorFlow.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from copycat.config.dotted_keys import iterate_values
from copycat.records.requested_values import STATISTICS

HPARAM_GROUPS = (
    *("seed", "model", "initialization", "augmentation", "loss", "optimizer", "scheduler"),
    *("normalize", "lr_multipliers", "decay_bias_and_norm"),
)
"""Keys and groups whose keys are all hyper-parameters; of other groups, those of `HPARAM_KEYS` are."""
HPARAM_KEYS = {
    *("data", "data.batch_size", "data.shuffle", "data.sampler", "data.fold", "data.split_seed"),
    *("trainer.max_epochs", "trainer.precision", "trainer.gradient_clip_val", "trainer.accumulate_grad_batches"),
}

Value = float | str | bool
STATUS = {"success": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}


def select_hparams(config: Mapping[str, Any], varied: Mapping[str, Any]) -> dict[str, Value]:
    """Return the hyper-parameters of a run's configuration by dotted key, and those that its sweep varies.

    A varied option is shown by its name where its class is that of other options too: `model` is `shallow`. So is
    `normalize=train`, instead of the statistics that it is in this run.
    """
    keys, typed = HPARAM_KEYS | varied.keys(), dict(_list_values(varied))
    chosen = {key: v for key, v in _list_values(config) if key in keys or key.partition(".")[0] in HPARAM_GROUPS}
    if "normalize" in typed:
        chosen = {key: v for key, v in chosen.items() if key not in STATISTICS} | {"normalize": typed["normalize"]}
    # the model holds the option of the group `activation` once more, where it uses it
    named = {key.removeprefix("model.") if key.startswith("model.activation") else key: v for key, v in chosen.items()}
    return {key: _differing_name(value, typed.get(key, value)) for key, value in named.items()}


def _differing_name(value: Value, typed: Value) -> Value:
    """Return the class `ReLU` where `relu` was typed, as a run outside the sweep shows it, but else what was typed."""
    return value if str(value).casefold() == str(typed).casefold() else typed


def session_start(values: Mapping[str, Value]) -> Summary:
    """Make the summary of a run's hyper-parameters."""
    content = SessionStartInfo()
    for name, value in values.items():
        if isinstance(value, str):
            content.hparams[name].string_value = value
        elif isinstance(value, bool):
            content.hparams[name].bool_value = value
        else:
            content.hparams[name].number_value = value
    return _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=content))


def session_end(status: str) -> Summary:
    """Make the summary of a run's end: `success` or `failed`; TensorBoard has no other status."""
    content = SessionEndInfo(status=STATUS.get(status, api_pb2.STATUS_UNKNOWN))
    return _summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=content))


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))])


def _list_values(config: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """Yield names and values for HParams, which takes numbers, strings and booleans. A target appears by its class."""
    for key, value in iterate_values(config):
        node, _, name = key.rpartition(".")
        if name == "_target_":
            yield node, str(value).rpartition(".")[2]
        elif not (name.startswith("_") or value is None or value == {}):
            yield key, value if isinstance(value, (bool, int, float, str)) else str(value)
