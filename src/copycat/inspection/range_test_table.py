"""`copycat inspect --lr-find`: the loss by learning rate, and a rate to start from."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from copycat.config.printable import print_line
from copycat.inspection.terminal_plot import sparkline, write_picture
from copycat.tables.render import print_table, value_cell, wide_console, write_csv, write_json
from copycat.training.range_test import RangeTest, run_range_test

ROWS = 11
"""Rows of the printed table."""


def show_range_test(
    config: Mapping[str, Any],
    overrides: Sequence[str],
    *,
    least: float,
    most: float,
    steps: int,
    form: str,
    picture: Path | None,
) -> None:
    """Run a range test from `least` to `most`, print it as a table, `csv` or `json`, and draw it into a PNG file.

    Raises:
        UserError: where the run cannot be built.
    """
    found = run_range_test(config, least=least, most=most, steps=steps)
    if picture is not None:
        from copycat.inspection.rate_plots import draw_range_test

        write_picture(picture, lambda: draw_range_test(found))
    columns = {"learning_rate": found.rates, "loss": found.losses, "smoothed_loss": found.smoothed}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if form == "csv":
        write_csv(rows)
    elif form == "json":
        write_json({"suggestion": found.suggestion, "diverged": found.diverged, "rows": rows})
    else:
        _print(found, rows, overrides)
        print_line(f"picture: {picture}")


def _print(found: RangeTest, rows: Sequence[Mapping[str, float]], overrides: Sequence[str]) -> None:
    first, last = found.rates[0], found.rates[-1]
    end = "the loss diverged" if found.diverged else "the loss did not diverge"
    print_line(f"training loss of {len(rows)} steps, learning rate from {first:.3g} to {last:.3g}: {end}")
    print_line(sparkline([min(loss, found.ceiling) for loss in found.smoothed], from_zero=False))
    shown = sorted({round((len(rows) - 1) * place / (ROWS - 1)) for place in range(ROWS)})
    cells = [{name: f"{value:.4g}" for name, value in rows[place].items()} for place in shown]
    print_table(wide_console(), [(title, value_cell(title)) for title in rows[0]], cells)
    if (rate := found.suggestion) is None:
        print_line("no suggestion: the loss did not fall. Try other limits: --min-lr, --max-lr, --steps.")
        return
    kept = [word for word in overrides if not word.startswith("optimizer.lr=")]
    is_falling = found.lowest == last and not found.diverged
    lowest = "no end of the descent: raise --max-lr" if is_falling else f"end of the descent at {found.lowest:.2g}"
    print_line(f"steepest descent at {rate:.2g}, {lowest}")
    print_line(f"next: copycat train {shlex.join([*kept, f'optimizer.lr={rate:.2g}'])}")
