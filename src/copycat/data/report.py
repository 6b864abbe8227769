"""Print the report of `copycat data check`."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from copycat.config.printable import make_console, printable
from copycat.data.datamodule import DataModule
from copycat.data.quality import DataCheck, Duplicate, check_data, join_counts

MAX_LINES = 20  # largest number of lines of a list in a terminal; a file or a pipe gets all lines


def print_check(data: DataModule) -> DataCheck:
    """Print counts, class shares and colors of each part, duplicates, unreadable files and warnings."""
    check = check_data(data)
    console = make_console(soft_wrap=True)
    most = MAX_LINES if console.is_terminal else None
    console.print(_build_table(check), soft_wrap=False)
    console.print("brightness and channels: mean pixel value, from 0 to 255; %: share of the part's images")
    for line in _list_lines(check, most=most):
        console.print(printable(line))
    for warning in check.warnings:
        console.print(f"warning: {printable(warning)}")
    console.print(f"fingerprint: {data.fingerprint()['all']}")
    return check


def _build_table(check: DataCheck) -> Table:
    """Build a table with one column per part, so that many classes make it long and not wide."""
    table, parts = Table(), check.parts.values()
    table.add_column("part", overflow="fold")
    for title in check.parts:
        table.add_column(printable(title), justify="right", overflow="fold")
    table.add_row("images", *(str(part.images) for part in parts))
    for label in check.parts["train"].counts:
        table.add_row(printable(label), *(f"{part.counts[label]} ({part.share(label):.0%})" for part in parts))
    table.add_section()
    table.add_row("brightness", *(f"{part.brightness:.1f}" for part in parts))
    channels = len(check.parts["train"].color)
    names = ("red", "green", "blue") if channels == 3 else [f"channel {place}" for place in range(channels)]
    for place, name in enumerate(names):
        table.add_row(name, *(f"{part.color[place]:.1f}" for part in parts))
    return table


def _list_lines(check: DataCheck, *, most: int | None) -> Iterator[str]:
    lists = {
        "duplicates within a part": [_join_duplicates(group) for group in check.within],
        "duplicates across parts": [_join_duplicates(group) for group in check.across],
        "unreadable files": check.unreadable,
    }
    if check.groups:
        leaking = check.leaking_groups
        lists["groups"] = [f"{name}: {join_counts(counts)}" for name, counts in check.groups.items()]
        lists["groups across parts"] = [f"{name}: {join_counts(counts)}" for name, counts in leaking.items()]
    for title, lines in lists.items():
        yield f"{title}: {len(lines)}"
        yield from _first(lines, most)
    if check.left_out:
        yield f"ignored files: {sum(one.files for one in check.left_out)}"
        yield from _first([str(one) for one in check.left_out], most)


def _join_duplicates(group: Sequence[Duplicate]) -> str:
    """Join the names of equal images, with their part and class in brackets where these differ."""
    parts, labels = (len({image.part for image in group}) > 1, len({image.label for image in group}) > 1)
    differ = [", ".join([image.part] * parts + [image.label] * labels) for image in group]
    return " = ".join(image.name + (f" ({more})" if more else "") for image, more in zip(group, differ, strict=True))


def _first(lines: Sequence[str], most: int | None) -> Iterator[str]:
    for line in lines[:most]:
        yield f"  {line}"
    if most is not None and len(lines) > most:
        yield f"  and {len(lines) - most} more: add | cat to see them all"
