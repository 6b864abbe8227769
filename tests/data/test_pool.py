"""Parts joined to one: every image at its place, as it is stored."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from copycat.data.datamodule import DataModule
from copycat.data.pool import join_parts
from copycat.data.sources.folder import Folder
from copycat.data.table_images import TableImages
from tests.support.images import write_image_folder


def make_folder(at: Path) -> Path:
    """Noise of 8×8 pixels, a class of which has a file that cannot be read before the others."""
    root = write_image_folder(at, classes={"dog": 0, "cat": 100}, parts={"": 6}, levels=100)
    (root / "cat" / "-.png").write_bytes(b"no image")
    return root


def test_each_image_is_found_in_its_file_after_a_split_and_unreadable_files(tmp_path: Path) -> None:
    for memory in (0, 2048):
        root = str(make_folder(tmp_path / str(memory)))
        source = Folder(root=root, image_size=4, on_unreadable="skip", memory_mb=memory)
        pool = join_parts(DataModule(source, folds=3, fold=1).parts)
        assert len(pool) == 12
        assert pool.parts == ["train"] * 8 + ["val"] * 4
        for index, name in enumerate(pool.images.names):
            with Image.open(tmp_path / str(memory) / name) as image:
                expected = np.asarray(image.convert("RGB"))
            assert (pool.read(index, lambda image: np.array(image.convert("RGB"))) == expected).all()
            assert pool.images.images[index].shape == (3, 4, 4)


def test_a_file_that_is_gone_is_replaced_by_the_decoded_image(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "gone")
    pool = join_parts(DataModule(Folder(root=str(root), image_size=4, on_unreadable="skip")).parts)
    (root / pool.images.names[0]).unlink()
    decoded = pool.read(0, lambda image: np.array(image))
    assert (decoded.transpose(2, 0, 1) == torch.as_tensor(pool.images.images[0]).numpy()).all()


def test_cells_of_a_table_are_read_in_their_own_size() -> None:
    Image.new("RGB", (30, 20), "red").save(buffer := BytesIO(), "PNG")
    rows = [{"image": {"bytes": buffer.getvalue(), "path": None}}]
    images = TableImages(rows=rows, column="image", part="train", size=8, fit="crop")
    assert images.read_original(0, lambda image: image.size) == (30, 20)
    assert images[0].shape == (3, 8, 8)
