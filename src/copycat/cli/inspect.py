"""`copycat inspect`: show a network before it trains, or the weights of a run."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import COMMANDS
from copycat.cli.imports import defer_garbage_collection
from copycat.config.errors import UserError

USAGE = f"""\
usage: copycat inspect [OVERRIDES]
       copycat inspect --weights RUN

{COMMANDS["inspect"]}.
Overrides, as model=deep or model.hidden=[20,7,5]: see copycat train --help."""


def run(words: Sequence[str]) -> None:
    """Show the network that the overrides give, or the weights of a run."""
    if "-h" in words or "--help" in words:
        print(USAGE)
    elif words and words[0] == "--weights":
        _show_weights(words[1:])
    else:
        _show_network(words)


def _show_network(words: Sequence[str]) -> None:
    for word in words:
        if word.startswith("-"):
            raise UserError(
                f"{word}: expected KEY=VALUE, as in model.hidden=[20,7,5];"
                " copycat inspect has no flags but --weights RUN."
            )
    from copycat.config.compose import compose
    from copycat.config.own_modules import allow_own_modules

    config = compose(words, check_data=False).config
    allow_own_modules(config)
    with defer_garbage_collection():
        from copycat.inspection.network import inspect_network  # imports torch, so only after the overrides are checked

    print(inspect_network(config))


def _show_weights(words: Sequence[str]) -> None:
    if len(words) != 1:
        raise UserError(f"--weights: expected the folder of a run; got {len(words)} words.")
    from copycat.inspection.reports.weight_table import print_weights

    print_weights(Path(words[0]))
