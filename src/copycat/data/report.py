"""What `copycat data check` prints."""

from rich.console import Console
from rich.table import Table

from copycat.data.check import check_data
from copycat.data.datamodule import DataModule


def print_check(data: DataModule) -> None:
    """Counts, class shares and colours of each part, duplicates, unreadable files, and a warning a line."""
    found = check_data(data)
    table = Table()
    for title in ("part", "images", *data.classes, "brightness", "red", "green", "blue"):
        table.add_column(title, justify="left" if title == "part" else "right")
    for name, part in found.parts.items():
        shares = (f"{count} ({part.share(label):.0%})" for label, count in part.counts.items())
        table.add_row(name, str(part.images), *shares, *(f"{x:.1f}" for x in (part.brightness, *part.color)))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    for title, groups in (("twice within a part", found.within), ("twice across parts", found.across)):
        console.print(f"{title}: {len(groups)}")
        for group in groups:
            console.print(f"  {' = '.join(group)}")
    console.print(f"unreadable: {len(found.unreadable)}")
    for line in found.unreadable:
        console.print(f"  {line}")
    for warning in found.warnings:
        console.print(f"warning: {warning}")
    console.print(f"fingerprint: {data.fingerprint()['all']}")
