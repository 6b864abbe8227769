"""`copycat inspect --weights`: what a run's final weights have become, tensor by tensor."""

from pathlib import Path
from typing import TYPE_CHECKING

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.records.reader import check_files
from copycat.records.run_folder import WEIGHTS
from copycat.tables.render import Column, given, print_table, wide_console
from copycat.tables.statistics import figure

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-3
"""Of a tensor's largest number: what is smaller counts as next to nothing."""
TITLES = ("shape", "numbers", "norm", "mean", "std", "min", "max", "tiny")


def print_weights(run: Path) -> None:
    """Print a table to standard output.

    Raises:
        UserError: where the folder has no final weights, or they are damaged.
    """
    path = run / WEIGHTS
    if not path.exists():
        raise UserError(f"{run}: expected a completed run, with {WEIGHTS}; it has none. See them: copycat runs.")
    check_files(run)
    from copycat.records.safe_tensors import read_weights  # it imports torch

    weights = read_weights(path)
    columns: list[Column] = [("tensor", given("tensor")), *((title, given(title)) for title in TITLES)]
    print_table(wide_console(), columns, [{"tensor": name, **_row(found)} for name, found in weights.items()])
    numbers = sum(tensor.numel() for tensor in weights.values())
    print_line(f"{pluralize(numbers, 'number')} in {pluralize(len(weights), 'tensor')}")
    print_line(f"tiny: share below {TINY:g} of the tensor's largest")


def _row(found: "Tensor") -> dict[str, str]:
    import torch

    shape = "×".join(map(str, found.shape)) or "1"
    values = found.double()
    if not values.numel():
        return {"shape": shape, "numbers": "0"}
    size = values.abs()
    return {
        "shape": shape,
        "numbers": str(values.numel()),
        "norm": figure(float(torch.linalg.vector_norm(values))),
        "mean": figure(float(values.mean())),
        "std": figure(float(values.std(correction=0))),
        "min": figure(float(values.min())),
        "max": figure(float(values.max())),
        "tiny": f"{float((size < TINY * size.max()).double().mean()):.0%}",
    }
