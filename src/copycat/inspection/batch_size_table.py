"""`copycat inspect --batch-size`: the largest batch whose training step fits into memory."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.tables.render import print_table, value_cell, wide_console, write_csv, write_json
from copycat.training.batch_size_search import BatchSizeSearch, find_batch_size


def show_batch_size(config: Mapping[str, Any], overrides: Sequence[str], *, form: str) -> None:
    """Search the largest batch, and print the attempts as a table, `csv` or `json`.

    Raises:
        UserError: where the run cannot be built, or the system does not say how much memory it has.
    """
    search = find_batch_size(config, report=lambda size: print_line(f"copycat: trying {size}", error=True))
    rows = [
        {"batch_size": size, "peak_bytes": peak, "fits": peak is not None and peak <= (search.limit or peak)}
        for size, peak in sorted(search.peaks.items())
    ]
    if form == "csv":
        write_csv(rows)
    elif form == "json":
        write_json(
            {
                "largest": search.largest,
                "is_predicted": search.is_predicted,
                "images": search.images,
                "device": search.device,
                "limit_bytes": search.limit,
                "attempts": rows,
            }
        )
    else:
        _print(search, rows, overrides)


def _print(search: BatchSizeSearch, rows: Sequence[Mapping[str, Any]], overrides: Sequence[str]) -> None:
    limit = "" if search.limit is None else f", at most {_mib(search.limit)} of memory for a step"
    print_line(f"{search.device}: {pluralize(search.images, 'training image')}{limit}")
    cells = [{**row, "peak memory": _mib(row["peak_bytes"]), "fits": "yes" if row["fits"] else "no"} for row in rows]
    titles = {"batch_size": "batch size", "peak memory": "peak memory", "fits": "fits"}
    print_table(wide_console(), [(title, value_cell(name)) for name, title in titles.items()], cells)
    if not search.largest:
        print_line("no batch fits, not even the smallest. Take a smaller network or smaller images.")
        return
    how = "predicted by a straight line through the last two" if search.is_predicted else "tried"
    whole = ", the whole training set" if search.largest == search.images else ""
    print_line(f"largest batch that fits: {search.largest}{whole} ({how})")
    kept = [word for word in overrides if not word.startswith("data.batch_size=")]
    print_line(f"next: copycat train {shlex.join([*kept, f'data.batch_size={search.largest}'])}")


def _mib(count: int | None) -> str:
    return "–" if count is None else f"{count / 2**20:,.0f} MiB"
