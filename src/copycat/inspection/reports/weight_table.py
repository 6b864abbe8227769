"""`copycat inspect --weights`: statistics of a run's final weights, tensor by tensor."""

from pathlib import Path
from typing import TYPE_CHECKING

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.records.digests import recorded_digests
from copycat.records.reader import check_files, read_checked_manifest
from copycat.records.run_folder import WEIGHTS
from copycat.tables.render import Column, print_table, value_cell, wide_console
from copycat.tables.statistics import format_number

if TYPE_CHECKING:
    from torch import Tensor

TINY_SHARE = 1e-3
"""Values below this share of a tensor's largest count as tiny."""
TITLES = ("shape", "values", "norm", "mean", "std", "min", "max", "tiny")


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

    weights = read_weights(path, digest=recorded_digests(read_checked_manifest(run)).get(WEIGHTS))
    columns: list[Column] = [("tensor", value_cell("tensor")), *((title, value_cell(title)) for title in TITLES)]
    print_table(wide_console(), columns, [{"tensor": name, **_row(tensor)} for name, tensor in weights.items()])
    numbers = sum(tensor.numel() for tensor in weights.values())
    print_line(f"{pluralize(numbers, 'value')} in {pluralize(len(weights), 'tensor')}")
    print_line(
        f"norm: Euclidean; std: standard deviation; tiny: share of values below {TINY_SHARE:g} of the tensor's largest"
    )


def _row(tensor: "Tensor") -> dict[str, str]:
    import torch

    shape = "×".join(map(str, tensor.shape)) or "1"
    values = (torch.view_as_real(tensor) if tensor.is_complex() else tensor).double()
    if not values.numel():
        return {"shape": shape, "values": "0"}
    size = values.abs()
    return {
        "shape": shape,
        "values": str(tensor.numel()),
        "norm": format_number(float(torch.linalg.vector_norm(values))),
        "mean": format_number(float(values.mean())),
        "std": format_number(float(values.std(correction=0))),
        "min": format_number(float(values.min())),
        "max": format_number(float(values.max())),
        "tiny": f"{float((size < TINY_SHARE * size.max()).double().mean()):.0%}",
    }
