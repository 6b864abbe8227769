"""The drawn set as files."""

import shlex
from pathlib import Path

import pytest
import torch

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.data.datamodule import DataModule
from copycat.data.quality import check_data
from copycat.data.sources.folder import Folder
from copycat.data.synthetic.dataset import Drawn, write_gallery
from tests.support.commands import call_copycat


def test_the_files_read_back_as_the_same_pixels_classes_and_parts(tmp_path: Path) -> None:
    write_gallery(tmp_path / "new" / "gallery", seed=3)
    folder, drawn = Folder(root=str(tmp_path / "new" / "gallery")), Drawn(seed=3)
    files, images = folder.load(), drawn.load()
    assert list(files) == list(images) == ["train", "val"]
    for name, part in images.items():
        # the folder has its classes by the alphabet, and so its images in another order
        expected = {
            hash_: drawn.classes[label] for hash_, label in zip(part.digests, part.labels.tolist(), strict=True)
        }
        found = {
            hash_: folder.classes[label]
            for hash_, label in zip(files[name].digests, files[name].labels.tolist(), strict=True)
        }
        assert found == expected
        assert len(files[name]) == len(part)
    file = f"val/{drawn.classes[int(images['val'].labels[7])]}/007.png"
    assert torch.equal(files["val"].images[list(files["val"].names).index(file)], images["val"].images[7])


def test_the_command_says_what_to_type_next_and_that_composes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "to look at"
    call_copycat("data", "draw", target)
    out = capsys.readouterr().out
    assert out.startswith(f"259 images in {target}; train on them: copycat train ")
    words = shlex.split(out.partition("copycat train ")[2])
    assert compose(words).config["data"]["root"] == str(target)
    assert len(list(target.glob("*/*/*.png"))) == 259


@pytest.mark.parametrize("holds", ["a file inside", "a file in its place"])
def test_nothing_that_is_there_is_written_over(tmp_path: Path, holds: str) -> None:
    target = tmp_path / "mine"
    kept = target if holds == "a file in its place" else target / "000.png"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(UserError, match="expected a new or empty folder; got one that is in use"):
        write_gallery(target, seed=0)
    assert kept.read_text() == "mine"
    assert list(tmp_path.rglob("*.png")) == ([kept] if holds == "a file inside" else [])


def test_images_that_were_drawn_are_marked_as_drawn_when_they_come_back_as_a_folder(tmp_path: Path) -> None:
    write_gallery(tmp_path / "gallery", seed=0)
    data = DataModule(Folder(root=str(tmp_path / "gallery")))
    assert "these images are drawn, not photographed" in check_data(data).warnings
    (tmp_path / "gallery" / "DRAWN.txt").unlink()  # the mark is what says so, not the pixels
    data = DataModule(Folder(root=str(tmp_path / "gallery")))
    assert "these images are drawn, not photographed" not in check_data(data).warnings
