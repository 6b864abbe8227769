"""Runs on ranks that torchrun or srun started, on this host and on two hosts, which are network namespaces."""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from copycat.records.run_folder import read_manifest
from tests.support.commands import run_copycat
from tests.support.hosts import (
    COMMAND,
    RAY_FOLDER,
    RAY_PORT,
    RAY_VARIABLES,
    Command,
    Host,
    srun,
    start_ray,
    torchrun,
    two_hosts,
    wait_for_rows,
    wait_until,
)
from tests.support.sweeps import read_trial_files, tiny_sweep_overrides

pytestmark = pytest.mark.slow

RANKS = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.threads=1")
LIMIT_SECONDS = 8


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as made:
        yield made


def words_for(data: Path, *words: str) -> list[str]:
    where = ("data=folder", f"data.root={data}", "data.image_size=8", "data.batch_size=4", "output_dir=runs")
    return [*RANKS, "trainer.timeout=20s", *where, "model=logistic", "trainer.max_epochs=3", "logger=none", *words]


def read_history(at: Path) -> bytes:
    """Return the rows of the one run below a folder; it completed."""
    (folder,) = [file.parent for file in (at / "runs").rglob("run.json")]
    assert read_manifest(folder)["status"] == "completed"
    return (folder / "metrics.csv").read_bytes()


@pytest.fixture(scope="module")
def history(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The rows of a run whose two ranks Copycat started itself."""
    at = tmp_path_factory.mktemp("own")
    done = run_copycat("train", *words_for(tiny, "trainer.devices=2"), at=at)
    assert done.returncode == 0, done.stderr
    return read_history(at)


def test_ranks_that_torchrun_starts_train_one_run_with_the_same_bits(
    tiny: Path, history: bytes, tmp_path: Path
) -> None:
    with torchrun(*words_for(tiny), at=tmp_path) as command:
        status, out, errors = command.wait()
    assert status == 0, errors
    assert out.count("completed after 3 epochs") == 1
    assert out.count("Epoch 0, Loss") == 1
    assert read_history(tmp_path) == history


@pytest.mark.parametrize("mistake", ["optimizer.lr=banana", "data.root=nowhere"])
def test_a_wrong_call_of_torchrun_is_one_line_once(mistake: str, tiny: Path, tmp_path: Path) -> None:
    with torchrun(*words_for(tiny, mistake), at=tmp_path) as command:
        status, out, errors = command.wait()
    lines = [line for line in errors.splitlines() if line.startswith("copycat: ")]
    assert status == 1  # torchrun's own
    assert out == ""
    assert len(lines) == 1, errors
    assert lines[0].startswith(f"copycat: {mistake.partition('=')[0]}")
    assert not (tmp_path / "runs").exists()


def test_ranks_refuse_a_sweep_inside_them(tiny: Path, tmp_path: Path) -> None:
    with torchrun("-m", *words_for(tiny, "seed=0,1"), at=tmp_path) as command:
        _, _, errors = command.wait()
    (line,) = [line for line in errors.splitlines() if line.startswith("copycat: ")]
    assert line.startswith("copycat: -m: expected a start of one process; got 2, by torchrun or srun.")
    assert not list(tmp_path.iterdir())


def test_each_trial_of_a_sweep_has_its_ranks_and_one_folder(tiny: Path, history: bytes, tmp_path: Path) -> None:
    words = words_for(tiny, "trainer.devices=2", "seed=123,1", "sweep.folder=sweep")
    done = run_copycat("train", "-m", *words, at=tmp_path)
    assert done.returncode == 0, done.stderr
    folders = sorted(file.parent for file in tmp_path.rglob("run.json"))
    assert folders == [tmp_path / "sweep" / "0", tmp_path / "sweep" / "1"]
    assert [read_manifest(folder)["status"] for folder in folders] == ["completed"] * 2
    assert (folders[0] / "metrics.csv").read_bytes() == history


def test_tasks_that_srun_starts_train_one_run_with_the_same_bits(tiny: Path, history: bytes, tmp_path: Path) -> None:
    with ExitStack() as ended:
        tasks = [ended.enter_context(srun(*words_for(tiny), rank=rank, job=11, at=tmp_path)) for rank in (1, 0)]
        (follower, nothing, _), (first, out, errors) = (task.wait() for task in tasks)
    assert (first, follower) == (0, 0), errors
    assert out.count("completed after 3 epochs") == 1
    assert nothing == ""
    assert read_history(tmp_path) == history


@pytest.mark.parametrize("rank", [0, 1])
def test_a_task_whose_other_task_never_starts_ends_with_one_line(rank: int, tiny: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    with srun(*words_for(tiny, "trainer.timeout=3s"), rank=rank, job=12 + rank, at=tmp_path) as task:
        status, out, errors = task.wait()
    assert time.monotonic() - began < 3 + 30
    (line,) = errors.splitlines()
    assert line.startswith(f"copycat: trainer.timeout: expected 2 ranks to join within 3 s; rank {rank} on ")
    assert (status, out) == (2, "")
    assert not (tmp_path / "runs").exists()


def start_on(
    hosts: Sequence[Host], ended: ExitStack, words: Sequence[str], *, at: Path, meet: str = "static"
) -> list[Command]:
    """Start one rank on each host."""
    return [
        ended.enter_context(torchrun(*words, host=host, number=number, meet=meet, at=at))
        for number, host in enumerate(hosts)
    ]


@pytest.mark.parametrize("meet", ["static", "c10d"])
def test_two_hosts_train_one_run_with_the_bits_of_one_host(
    meet: str, hosts: tuple[Host, Host], tiny: Path, history: bytes, tmp_path: Path
) -> None:
    with ExitStack() as ended:
        for command in start_on(hosts, ended, words_for(tiny), at=tmp_path, meet=meet):
            status, _, errors = command.wait()
            assert status == 0, errors
    assert read_history(tmp_path) == history


LONG = ("trainer.max_epochs=120", "callbacks=none")


def test_a_link_that_is_cut_for_10_seconds_costs_a_pause(hosts: tuple[Host, Host], tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = run_copycat("train", *words_for(tiny, *LONG, "trainer.devices=2"), at=tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    with ExitStack() as ended:
        commands = start_on(hosts, ended, words_for(tiny, *LONG), at=tmp_path / "cut")
        folder = wait_for_rows(tmp_path / "cut", 2)
        hosts[0].switch_link("down")
        time.sleep(1)
        rows = (folder / "metrics.csv").read_bytes().count(b"\n")
        time.sleep(9)
        assert (folder / "metrics.csv").read_bytes().count(b"\n") == rows < 120
        hosts[0].switch_link("up")
        for command in commands:
            status, _, errors = command.wait()
            assert status == 0, errors
    assert read_history(tmp_path / "cut") == read_history(tmp_path / "whole")


def test_a_link_that_is_cut_for_good_ends_both_hosts_in_time(
    hosts: tuple[Host, Host], tiny: Path, tmp_path: Path
) -> None:
    words = words_for(tiny, "trainer.max_epochs=1000000", f"trainer.timeout={LIMIT_SECONDS}s")
    with ExitStack() as ended:
        commands = start_on(hosts, ended, words, at=tmp_path)
        folder = wait_for_rows(tmp_path, 2)
        hosts[0].switch_link("down")
        began = time.monotonic()
        for command in commands:
            status, _, errors = command.wait()
            assert time.monotonic() - began < LIMIT_SECONDS + 30, errors
            assert status == 1
    manifest = read_manifest(folder)
    assert manifest["status"] == "failed"
    assert manifest["error"].startswith("rank 1 on host1 ")


@pytest.mark.server
def test_a_ray_cluster_of_two_hosts_trains_the_trials_of_a_sweep(
    hosts: tuple[Host, Host], tiny: Path, tmp_path: Path
) -> None:
    address = f"hydra.launcher.init.address={hosts[0].address}:{RAY_PORT}"
    cluster = ("hydra/launcher=ray", address, f"+hydra.launcher.init._node_ip_address={hosts[0].address}")
    words = ("-m", *cluster, *tiny_sweep_overrides(tiny), "seed=range(8)", "sweep.folder=sweep")
    busy = set()
    with ExitStack() as ended:
        ended.callback(shutil.rmtree, RAY_FOLDER, ignore_errors=True)
        for number, host in enumerate(hosts):
            node = ended.enter_context(start_ray(host, number, at=tmp_path))
            wait_until(lambda: "Ray runtime started" in node.read()[0])  # noqa: B023
        sweep = ended.enter_context(
            Command(hosts[0].words(sys.executable, *COMMAND, *words), at=tmp_path, variables=RAY_VARIABLES)
        )
        while sweep.process.poll() is None:
            tasks = [process for process in psutil.process_iter(["name"]) if "_run_in_t" in process.info["name"]]
            busy |= {host.name for host in hosts if any(host.holds(task) for task in tasks)}
            time.sleep(0.05)
        status, _, errors = sweep.wait()
    assert status == 0, errors
    trials = read_trial_files(tmp_path / "sweep")
    assert [trials[number]["status"] for number in range(8)] == ["completed"] * 8
    assert busy == {"host0", "host1"}
