"""`copycat resume`: what it says before it trains."""

import shutil
from pathlib import Path

import pytest

from tests.support.commands import call_copycat
from tests.support.runs import QUIET, train_tiny


def test_images_that_have_moved_are_named_by_their_folder(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shutil.copytree(tiny, tmp_path / "images")
    run = train_tiny("trainer.max_epochs=1", *QUIET, data=images, at=tmp_path / "runs").folder
    images.rename(tmp_path / "moved")
    call_copycat("resume", run, "trainer.max_epochs=2", status=2)
    expected = f"copycat: {run}: expected its images in {images}; they are not there. Put them back.\n"
    assert capsys.readouterr().err == expected
