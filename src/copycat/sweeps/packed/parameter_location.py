"""Locate the parameter of a trial in the tensors of a pack."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ParameterLocation:
    """Hold the name of a tensor of a pack, and which part of it is a trial's own parameter.

    `rows` are those of the first dimension; `index` is the part of the only such row, and None where all rows are the
    parameter.
    """

    key: str
    rows: slice
    index: tuple[slice, ...] | None = None

    @property
    def is_whole(self) -> bool:
        """Return whether the row is the parameter, without padding."""
        return self.index == ()

    def view(self, tensor: Tensor, first: int = 0) -> Tensor:
        """Return the part of a tensor whose first row is row `first` of the pack's."""
        own = tensor[self.rows.start - first : self.rows.stop - first]
        return own if self.index is None else own[0][self.index]
