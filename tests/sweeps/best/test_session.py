"""Searches that are started as sweeps by their words."""

from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.config.sweep_composition import compose_sweep
from copycat.sweeps.best.session import make_plan


def test_its_candidates_alone_vary(tiny: Path) -> None:
    words = ["hydra/sweeper=best", "data=folder", f"data.root={tiny}", "seed=1,2"]
    with pytest.raises(UserError, match=r"^hydra/sweeper=best: expected no key that varies, .*; got seed\.$"):
        compose_sweep(words)


@pytest.mark.parametrize("text", [None, "path,label\n", "path,label,split\na.png,cat,train\n"])
def test_data_without_divisions_are_one_line(text: str | None, tmp_path: Path) -> None:
    table = tmp_path / "data.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(
        UserError, match=r"expected a table of images with their divisions as data\.file; .* copycat best"
    ):
        make_plan([], table, None)
