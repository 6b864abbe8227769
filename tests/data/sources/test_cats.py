"""The lecture's cats, and files that are not."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from copycat.config.errors import UserError
from copycat.data.sources.cats import Cats
from copycat.data.split import Source, digest


@pytest.fixture
def standin(tmp_path: Path) -> Path:
    """A folder with two files of the right form, and noise for photographs."""
    draw = np.random.default_rng(0)
    for stem, count in (("train", 209), ("test", 50)):
        with h5py.File(tmp_path / f"{stem}_catvnoncat.h5", "w") as h5:
            h5[f"{stem}_set_x"] = draw.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
            h5[f"{stem}_set_y"] = draw.integers(0, 2, count, dtype=np.int64)
    return tmp_path


def test_channels_come_before_rows_and_columns_in_contiguous_uint8(standin: Path) -> None:
    part = Cats(root=str(standin)).load()["train"]
    assert isinstance(part.images, torch.Tensor)
    with h5py.File(standin / "train_catvnoncat.h5") as h5:
        pixels, labels = h5["train_set_x"][:], h5["train_set_y"][:]
    assert part.images.dtype == torch.uint8
    assert part.images.is_contiguous()
    assert int(part.images[5, 2, 10, 20]) == pixels[5, 10, 20, 2]
    assert part.labels.dtype == torch.int64
    assert part.labels.tolist() == labels.tolist()
    assert part.digests[208] == digest(torch.from_numpy(pixels[208].transpose(2, 0, 1).copy()))


def test_cats_are_photographs_of_two_named_classes(standin: Path) -> None:
    source: Source = Cats(root=str(standin))
    assert (list(source.classes), source.synthetic) == (["non-cat", "cat"], False)


def test_without_a_root_the_folder_is_copycat_data_and_else_data(
    standin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPYCAT_DATA", str(standin))
    assert len(Cats().load()["val"]) == 50
    monkeypatch.delenv("COPYCAT_DATA")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(UserError) as raised:
        Cats().load()
    assert str(raised.value) == (
        "data=cats: no train_catvnoncat.h5 in ./data. Get it by `copycat data fetch cats`, or set COPYCAT_DATA."
    )


def test_a_missing_second_file_is_named(standin: Path) -> None:
    (standin / "test_catvnoncat.h5").unlink()
    with pytest.raises(UserError, match=rf"no test_catvnoncat\.h5 in .*copycat data fetch cats {standin}`"):
        Cats(root=str(standin)).load()


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("train_set_x", None, r"expected train_set_x as uint8 \[209, 64, 64, 3\]; got the keys train_set_y"),
        ("train_set_y", None, r"expected train_set_y as int64 \[209\]; got the keys train_set_x"),
        ("train_set_x", np.zeros((209, 3, 64, 64), np.uint8), r"got uint8 \[209, 3, 64, 64\]"),
        ("train_set_x", np.zeros((3, 64, 64, 3), np.uint8), r"got uint8 \[3, 64, 64, 3\]"),
        ("train_set_x", np.zeros((209, 64, 64, 3), np.float32), r"got float32 \[209"),
        ("train_set_y", np.zeros((1, 209), np.int64), r"expected train_set_y as int64 \[209\]; got int64 \[1, 209\]"),
        ("train_set_y", np.full(209, 2), "expected labels 0 and 1 in train_set_y; got 2 to 2"),
    ],
)
def test_a_file_of_another_form_is_one_line_that_names_it(
    standin: Path, key: str, value: np.ndarray | None, complaint: str
) -> None:
    with h5py.File(standin / "train_catvnoncat.h5", "a") as h5:
        del h5[key]
        if value is not None:
            h5[key] = value
    with pytest.raises(UserError, match=complaint) as raised:
        Cats(root=str(standin)).load()
    assert "train_catvnoncat.h5" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("damage", ["empty", "html", "cut", "group"])
def test_a_damaged_file_is_one_line_that_names_it(standin: Path, damage: str) -> None:
    file = standin / "test_catvnoncat.h5"
    content = {"empty": b"", "html": b"<html>404</html>", "cut": file.read_bytes()[:100_000], "group": b""}[damage]
    file.write_bytes(content)
    if damage == "group":
        with h5py.File(file, "w") as h5:
            h5.create_group("test_set_x")
    with pytest.raises(UserError, match=r"test_catvnoncat\.h5: expected .*; got .*copycat data fetch cats") as raised:
        Cats(root=str(standin)).load()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("feature", ["external link", "soft link", "external storage", "virtual data set"])
def test_values_that_lie_in_another_file_are_refused(standin: Path, tmp_path: Path, feature: str) -> None:
    shape, size = (209, 64, 64, 3), 209 * 64 * 64 * 3
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as h5:
        h5["secret"] = np.zeros(shape, np.uint8)
    (tmp_path / "secret.bin").write_bytes(bytes(size))
    with h5py.File(standin / "train_catvnoncat.h5", "a") as h5:
        del h5["train_set_x"]
        if feature == "external link":
            h5["train_set_x"] = h5py.ExternalLink(str(other), "/secret")
        elif feature == "soft link":  # whose path may lead through an external one
            h5["elsewhere"] = h5py.ExternalLink(str(other), "/")
            h5["train_set_x"] = h5py.SoftLink("/elsewhere/secret")
        elif feature == "external storage":
            storage = [(str(tmp_path / "secret.bin"), 0, size)]
            h5.create_dataset("train_set_x", shape, np.uint8, external=storage)
        else:
            layout = h5py.VirtualLayout(shape=shape, dtype=np.uint8)
            layout[:] = h5py.VirtualSource(str(other), "secret", shape=shape)
            h5.create_virtual_dataset("train_set_x", layout)
    with pytest.raises(UserError, match=rf"expected train_set_x .* in the file itself; got (an? )?{feature}"):
        Cats(root=str(standin)).load()
