"""The table of a run's final weights."""

from pathlib import Path

import pytest
import torch

from copycat.inspection.reports.weight_table import _row
from tests.support.commands import call_copycat
from tests.support.runs import QUIET, train_tiny


def test_the_weights_of_a_run_are_a_table(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train_tiny(
        "model=shallow", "model.hidden=[5]", "trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path
    ).folder
    call_copycat("inspect", "--weights", folder)
    out = capsys.readouterr().out
    assert "5×192" in out
    assert "layers.2.bias" in out
    assert f"{5 * 192 + 5 + 5 + 1} values in 4 tensors" in out


def test_the_numbers_of_a_complex_tensor_count_both_of_its_parts() -> None:
    row = _row(torch.tensor([3 + 4j, 0j]))
    assert (row["shape"], row["values"], row["norm"], row["mean"], row["max"]) == (
        "2",
        "2",
        "5.0000",
        "1.7500",
        "4.0000",
    )
