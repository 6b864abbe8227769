"""The largest batch is found by attempts that run out of memory, or by the memory that smaller ones took."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from copycat.config.errors import UserError
from copycat.sweeps.packed.autotune import _free_bytes
from copycat.training import batch_size_search, system_memory
from copycat.training.batch_size_search import BatchSizeSearch, _Attempts, find_batch_size, find_largest, try_sizes
from copycat.training.components import build_training_data
from copycat.training.process_state import isolated
from copycat.training.signals import SignalHandler
from copycat.training.system_memory import measure_peak_bytes, read_available_bytes
from tests.support.commands import call_copycat
from tests.support.images import write_image_folder
from tests.support.killed_runs import assert_same_folders
from tests.support.runs import compose_quickly, train_tiny

ON_CPU = ("trainer.accelerator=cpu", "trainer.threads=1")
SHORT = ("model=shallow", "data.batch_size=8", "trainer.max_epochs=2", *ON_CPU)


class Hungry(nn.Module):
    """Keep 4 bytes times `values` for each image until the backward pass."""

    def __init__(self, *, in_features: int = 0, out_features: int = 1, limit: int = 10**9, values: int = 1) -> None:
        super().__init__()
        self.scale, self.limit = nn.Parameter(torch.ones(values)), limit

    def forward(self, image: Tensor) -> Tensor:
        if len(image) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        large = image.flatten(1).mean(1, keepdim=True) * self.scale  # [B, values]
        return (large * large).mean(1, keepdim=True)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("many")
    return write_image_folder(at, classes={"no": 0, "yes": 50}, parts={"train": 20, "val": 2}, levels=206, seed=2)


def compose_hungry(folder: Path, **settings: int) -> Mapping[str, Any]:
    config = compose_quickly(["data=folder", f"data.root={folder}", "data.image_size=8", *ON_CPU]).config
    return {**config, "model": {"_target_": f"{__name__}.Hungry", **settings}}


def make_attempts(config: Mapping[str, Any]) -> _Attempts:
    return _Attempts(config, build_training_data(config), SignalHandler())


@given(most=st.integers(2, 500), data=st.data())
def test_doubling_and_bisection_find_the_largest_size_that_fits(most: int, data: Any) -> None:
    tried, largest = list[int](), int(data.draw(st.integers(1, 600)))

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= largest

    assert find_largest(fits, most=most) == (min(largest, most) if largest >= 2 else 0)
    assert len(tried) <= 20
    assert max(tried) <= most
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize("limit", [1, 2, 11, 40])
def test_attempts_that_run_out_of_memory_bound_the_size(limit: int, many: Path) -> None:
    """Emulated without an accelerator: the network raises torch's error in real training steps."""
    search = BatchSizeSearch(40, "cuda")
    with isolated(threads=1):
        try_sizes(search, make_attempts(compose_hungry(many, limit=limit)).run, report=lambda _: None)
    assert search.largest == (limit if limit > 1 else 0)
    assert all((peak is None) == (size > limit) for size, peak in search.peaks.items())


def test_the_predicted_size_is_that_of_the_network_s_own_arithmetic(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Per image the product and its gradients have a few tensors of `values` numbers, which outweigh all else."""
    values, available = 2**20, 1500 * 2**20
    monkeypatch.setattr(batch_size_search, "read_available_bytes", lambda: available)
    search = find_batch_size(compose_hungry(many, values=values))
    assert (search.is_predicted, search.limit) == (True, int(0.8 * available))
    (small, before), (large, after) = list(search.peaks.items())[-2:]
    tensors = (after - before) / (large - small) / (4 * values)
    assert tensors == pytest.approx(round(tensors), rel=1e-3)
    assert 2 <= round(tensors) <= 8  # forward: two; backward: their gradients
    assert search.largest == pytest.approx(min(40, 0.8 * available / (4 * values * tensors)), abs=3)


def test_the_measured_memory_is_what_is_allocated_at_once() -> None:
    def operation() -> None:
        first = torch.ones(2**20)
        second = torch.ones(2**20)
        del first
        torch.ones(2**19)
        del second
        torch.ones(2**18)

    assert measure_peak_bytes(operation) == 2 * 4 * 2**20


def test_a_small_network_takes_the_whole_training_set(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=folder", f"data.root={many}", "data.image_size=8", "model=shallow", *ON_CPU]
    reference = train_tiny(*SHORT, data=many, at=tmp_path / "without").folder
    before = sorted(tmp_path.rglob("*"))
    call_copycat("inspect", "--batch-size", *words, "data.batch_size=3", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert (printed["largest"], printed["images"], printed["device"]) == (40, 40, "cpu")
    assert [row["batch_size"] for row in printed["attempts"]] == [2, 4, 8, 16, 32, 40]
    call_copycat("inspect", "--batch-size", *words, "data.batch_size=3")
    shown = capsys.readouterr().out
    assert "largest batch that fits: 40, the whole training set (tried)" in shown
    assert shown.rstrip().endswith("model=shallow trainer.accelerator=cpu trainer.threads=1 data.batch_size=40")
    assert sorted(tmp_path.rglob("*")) == before
    assert_same_folders(train_tiny(*SHORT, data=many, at=tmp_path / "after").folder, reference)


def test_a_system_that_tells_no_memory_is_named(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size_search, "read_available_bytes", lambda: None)
    with pytest.raises(UserError, match="--batch-size: expected an accelerator, or a system that tells its free"):
        find_batch_size(compose_hungry(many))


def test_the_available_memory_is_that_of_another_package() -> None:
    available = read_available_bytes()
    assert available is not None
    assert available <= 1.2 * psutil.virtual_memory().available
    assert available > 2**26


@pytest.mark.parametrize(
    ("groups", "folder", "files", "cached"),
    [
        ("0::/job/step", "job", ("memory.max", "memory.current"), "inactive_file"),
        ("0::/", "", ("memory.max", "memory.current"), "inactive_file"),
        ("2:cpu,memory:/job", "memory/job", ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_inactive_file"),
    ],
)
def test_the_limit_of_a_container_or_job_is_what_a_pack_and_a_batch_may_use(
    groups: str, folder: str, files: tuple[str, str], cached: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "groups").write_text(f"1:pids:/\n{groups}\n")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, text in zip((*files, "memory.stat"), ("5000", "4000", f"anon 1\n{cached} 300\n"), strict=True):
        (tmp_path / folder / name).write_text(text)
    monkeypatch.setattr(system_memory, "CGROUP", tmp_path)
    monkeypatch.setattr(system_memory, "OWN_GROUPS", tmp_path / "groups")
    assert read_available_bytes() == _free_bytes(torch.device("cpu")) == 1300
