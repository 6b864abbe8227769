"""Images that workers decode: equal bits for any number of them, and none that outlives its epoch."""

import gc
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from copycat.data.datamodule import DataModule
from copycat.data.decode import UnreadableImage
from copycat.data.decoding_loader import DecodingLoader
from copycat.data.sources.folder import Folder
from copycat.models.prediction_buffer import MAX_PIECES
from copycat.models.stage_metrics import StageMetrics
from tests.support.batches import LABELS, LENGTH, OnDemand, are_equal, epoch_of, make_loader, make_order
from tests.support.conversions import convert_folder, make_source
from tests.support.images import write_image_folder


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker")  # where there are fewer cores
def test_decoded_batches_of_a_folder_have_the_same_bits_for_any_number_of_workers(tiny: Path) -> None:
    found = []
    for workers in (0, 1, 2, 4):
        source = Folder(root=str(tiny), image_size=8, memory_mb=0)
        data = DataModule(source, batch_size=3, shuffle=True, seed=5, workers=workers)
        assert isinstance(data.train_dataloader(), DecodingLoader)
        found.append([epoch_of(data.train_dataloader(), epoch) for epoch in range(2)])
    assert not are_equal(found[0][0], found[0][1])
    for others in found[1:]:
        assert all(are_equal(one, other) for one, other in zip(found[0], others, strict=True))


@pytest.mark.parametrize("kind", [0, 2])
def test_draws_of_a_sampler_have_the_same_bits_decoded_as_from_memory_inside_an_epoch_too(kind: int) -> None:
    weights = torch.tensor([5.0, 1.0, 1.0], dtype=torch.float64)[LABELS]
    memory, decoded = (make_loader(each, weights=weights) for each in ("memory", kind))
    expected = epoch_of(memory, 1)
    assert are_equal(epoch_of(decoded, 1), expected)
    index = torch.cat([batch["index"] for batch in expected])
    assert torch.cat([batch["draw"] for batch in expected]).tolist() == list(range(LENGTH))
    assert len({*index.tolist()}) < LENGTH
    for loader in (memory, decoded):
        loader.load_state_dict({"epoch": 1, "given": 3})
        assert are_equal(epoch_of(loader, 1), expected[3:])


@pytest.mark.parametrize("kind", [1, 2])
def test_workers_go_on_where_a_state_says(kind: int) -> None:
    loader = make_loader(kind)
    loader.load_state_dict({"epoch": 1, "given": 3})
    assert are_equal(epoch_of(loader, 1), epoch_of(make_loader(0), 1)[3:])


def test_workers_end_with_the_last_batch_before_a_validation_starts_others() -> None:
    left = [len(multiprocessing.active_children()) for _ in make_loader(2)]
    assert left[0] == 2
    assert left[-1] == 0


def test_images_of_batches_that_were_given_before_are_not_decoded_again() -> None:
    asked: list[int] = []

    class Counting(OnDemand):
        def __getitem__(self, index: int) -> Tensor:
            asked.append(index)
            return super().__getitem__(index)

    loader = DecodingLoader(Counting(), LABELS, make_order(shuffle=False), workers=0)
    loader.load_state_dict({"epoch": 0, "given": 3})
    list(loader)
    assert asked == list(range(15, LENGTH))


def test_no_worker_starts_where_nothing_is_left() -> None:
    before = set(multiprocessing.active_children())
    loader = make_loader(2)
    loader.load_state_dict({"epoch": 0, "given": 5})
    batches = iter(loader)
    with pytest.raises(StopIteration):
        next(batches)
    assert set(multiprocessing.active_children()) == before


@pytest.mark.parametrize("end", ["all", "some"])
def test_workers_end_with_their_epoch(end: str) -> None:
    before = set(multiprocessing.active_children())
    batches = iter(make_loader(2))
    next(batches)
    assert len(set(multiprocessing.active_children()) - before) == 2
    if end == "all":
        list(batches)
    del batches
    gc.collect()
    assert set(multiprocessing.active_children()) == before


class CountingFrozen(OnDemand):
    def __getitem__(self, index: int) -> Tensor:
        return torch.full_like(super().__getitem__(index), min(gc.get_freeze_count(), 255))


def test_a_worker_collects_nothing_that_it_shares_with_its_parent() -> None:
    """A collection would write to all objects that the parent had, and so copy their pages."""
    frozen = gc.get_freeze_count()
    loader = DecodingLoader(CountingFrozen(), LABELS, make_order(shuffle=False), workers=1)
    assert all((batch["image"] * 255 == 255).all() for batch in loader)
    assert gc.get_freeze_count() <= frozen  # some may have ended since


class Unreadable(OnDemand):
    def __getitem__(self, index: int) -> Tensor:
        raise ValueError(f"image {index} is gone")


def test_an_image_that_cannot_be_decoded_is_named() -> None:
    loader = DecodingLoader(Unreadable(), LABELS, make_order(shuffle=False), workers=0)
    with pytest.raises(ValueError, match="image 0 is gone"):
        next(iter(loader))


CHANGED = "its pixels changed after the run recorded them"


def test_an_image_that_another_one_replaces_is_refused_and_one_that_is_touched_is_not(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, classes={"cat": 0, "dog": 9}, parts={"train": 2, "val": 1}, levels=9)
    loader = DataModule(Folder(root=str(root), image_size=8, memory_mb=0), workers=0).loader("train")
    assert list(loader)
    copied = root / "train" / "cat" / "0.png"
    shutil.copy(copied, root / "train" / "dog" / "1.png")
    copied.touch()
    with pytest.raises(UnreadableImage, match=rf"^train/dog/1\.png: {CHANGED}"):
        list(loader)


def test_an_image_in_a_shard_that_another_one_replaces_is_refused(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, classes={"cat": 0, "dog": 9}, parts={"train": 2, "val": 1}, levels=9)
    convert_folder(root, tmp_path / "rows", form="webdataset", rows=2)
    (tmp_path / "rows" / "copycat.json").unlink()  # as tars of other programs, without digests of their bytes
    loader = DataModule(make_source("webdataset", tmp_path / "rows", memory_mb=0), workers=0).loader("train")
    assert list(loader)
    train = [tmp_path / "rows" / f"train-0000{number}.tar" for number in (0, 1)]
    train[0].touch()
    assert list(loader)
    shutil.copy(*train)
    with pytest.raises(UnreadableImage, match=rf"^train-00001\.tar\[0\]: {CHANGED}"):
        list(loader)


class Endless(OnDemand):
    def __getitem__(self, index: int) -> Tensor:
        return super().__getitem__(index % LENGTH)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_an_epoch_may_have_more_batches_than_a_process_may_open_files() -> None:
    """Each tensor that a worker ships holds a file open as long as it is kept."""
    import resource

    count = 5 * MAX_PIECES
    labels = torch.arange(count) % 3
    loader = DecodingLoader(Endless(), labels, make_order(length=count, batch_size=1, shuffle=False), workers=1)
    metrics = StageMetrics("train", classes=3, reduction="mean")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 2 * MAX_PIECES, hard))
    try:
        for batch in loader:
            metrics.update(loss=torch.tensor(1.0), probability=torch.full((1, 3), 1 / 3), label=batch["label"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert torch.equal(metrics.predictions()[1], labels)


@pytest.mark.slow
def test_a_worker_whose_run_was_killed_before_it_was_ready_ends() -> None:
    """The parent goes at once; its child is ready only when it has another parent, and would sleep for a minute."""
    program = (
        "import os, time\n"
        "from copycat.data.decoding_loader import exit_with_parent\n"
        "parent = os.getpid()\n"
        "if os.fork():\n"
        "    os._exit(0)\n"
        "while os.getppid() == parent:\n"
        "    time.sleep(0.01)\n"
        "exit_with_parent(parent, 0)\n"
        "time.sleep(60)\n"
        "print('still there')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == ""  # its pipe closes when the child ends
