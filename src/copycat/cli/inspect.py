"""`copycat inspect`: show a network before it trains, its learning rates, or the weights of a run."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from shlex import quote
from typing import Any

from copycat.cli.arguments import add_forms, check_output_file, make_parser, whole_number
from copycat.cli.imports import defer_garbage_collection
from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.flags import Parser
from copycat.records.run_folder import MANIFEST

WITH_VALUE = ("--weights", "--to", "--min-lr", "--max-lr", "--steps")
"""Flags before a word that is no override."""
DEFAULT_RATES = (1e-7, 10.0)
"""First and last learning rate of a range test, as fastai's."""


def run(words: Sequence[str]) -> None:
    """Show the network that the overrides give, its schedule, or the weights of a run."""
    flags: list[str] = []
    overrides: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        (flags if word.startswith("-") or before in WITH_VALUE else overrides).append(word)
    arguments = _make_parser().parse_args([*flags, *overrides])
    _check_flags(arguments)
    run = next((word for word in overrides if (Path(word) / MANIFEST).is_file()), None)
    if run is not None and not arguments.weights:
        hint = f"Type copycat inspect --weights {quote(run)}."
        raise UserError(f"inspect: expected KEY=VALUE; got the folder of a run, {run}. {hint}")
    if arguments.weights:
        if overrides:
            raise UserError(f"--weights: expected the folder of a run alone; got {overrides[0]!r} too.")
        from copycat.inspection.reports.weight_table import print_weights

        print_weights(arguments.weights)
    elif arguments.schedule:
        _show_schedule(overrides, arguments)
    elif arguments.lr_find:
        _find_rate(overrides, arguments)
    elif arguments.batch_size:
        _find_batch_size(overrides, arguments)
    else:
        _show_network(overrides)


def _make_parser() -> Parser:
    parser = make_parser("inspect")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="OVERRIDE",
        help="as for copycat train: model=deep, model.hidden=[20,7,5], scheduler=warmup_cosine",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--weights", type=Path, metavar="RUN", help="show statistics of a run's final weights")
    group.add_argument("--schedule", action="store_true", help="plot the learning rate over the run, without training")
    group.add_argument(
        "--lr-find",
        action="store_true",
        help="range test: train while the learning rate grows, plot the loss, suggest a rate; writes no run",
    )
    group.add_argument(
        "--batch-size",
        action="store_true",
        help="find the largest batch whose training step fits into memory; writes no run",
    )
    parser.add_argument("--min-lr", type=_rate, metavar="RATE", help="first rate of --lr-find (default: 1e-7)")
    parser.add_argument("--max-lr", type=_rate, metavar="RATE", help="last rate of --lr-find (default: 10)")
    parser.add_argument(
        "--steps", type=whole_number(100_000, least=10), metavar="N", help="steps of --lr-find (default: 100)"
    )
    parser.add_argument("--to", type=Path, metavar="FILE", help="PNG file (default: schedule.png, or lr-find.png)")
    add_forms(parser)
    return parser


def _rate(text: str) -> float:
    with suppress(ValueError):
        if 0 < (rate := float(text)) < inf:
            return rate
    raise argparse.ArgumentTypeError(f"expected a number > 0; got {text!r}")


def _check_flags(arguments: argparse.Namespace) -> None:
    """Refuse flags that the chosen view does not take."""
    of_sweep = [flag for flag in ("min_lr", "max_lr", "steps") if getattr(arguments, flag) is not None]
    if of_sweep and not arguments.lr_find:
        raise UserError(f"--{of_sweep[0].replace('_', '-')}: expected --lr-find beside it; got none.")
    draws = arguments.schedule or arguments.lr_find
    if arguments.to and not draws:
        raise UserError("--to: expected --schedule or --lr-find beside it; got neither.")
    if arguments.to:
        check_output_file("--to", arguments.to, "plot")
    if arguments.form != "table" and not (draws or arguments.batch_size):
        raise UserError(f"--{arguments.form}: expected --schedule, --lr-find or --batch-size beside it; got none.")


def _compose(words: Sequence[str], *, check_data: bool = True) -> Mapping[str, Any]:
    from copycat.config.compose import check_single_run, compose
    from copycat.config.own_modules import allow_own_modules

    request = compose(words, check_data=check_data)
    check_single_run(request)  # the commands that follow train it
    allow_own_modules(request.config)
    return request.config


def _show_network(words: Sequence[str]) -> None:
    config = _compose(words, check_data=False)
    with defer_garbage_collection():
        from copycat.inspection.network import inspect_network  # imports torch, so only after the overrides are checked

    print(inspect_network(config))


def _show_schedule(words: Sequence[str], arguments: argparse.Namespace) -> None:
    config = _compose(words)
    picture = _choose_picture(arguments, "schedule")
    with defer_garbage_collection():
        from copycat.inspection.schedule import show_schedule

    show_schedule(config, form=arguments.form, picture=picture)


def _find_rate(words: Sequence[str], arguments: argparse.Namespace) -> None:
    least, most = arguments.min_lr or DEFAULT_RATES[0], arguments.max_lr or DEFAULT_RATES[1]
    if least >= most:
        raise UserError(f"--max-lr: expected more than --min-lr={least:g}; got {most:g}.")
    config = _compose(words)
    picture = _choose_picture(arguments, "lr-find")
    with defer_garbage_collection():
        from copycat.inspection.range_test_table import show_range_test

    show_range_test(
        config, words, least=least, most=most, steps=arguments.steps or 100, form=arguments.form, picture=picture
    )


def _find_batch_size(words: Sequence[str], arguments: argparse.Namespace) -> None:
    config = _compose(words)
    with defer_garbage_collection():
        from copycat.inspection.batch_size_table import show_batch_size

    show_batch_size(config, words, form=arguments.form)


def _choose_picture(arguments: argparse.Namespace, name: str) -> Path | None:
    """Return the file for the plot; None where only numbers are wanted."""
    if arguments.form != "table" and arguments.to is None:
        return None
    require_package("matplotlib", wanted_by=f"copycat inspect --{name}")
    return arguments.to or Path(f"{name}.png")
