"""Run sweeps in packs, and read what they leave."""

from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from copycat.cli import main
from copycat.records.run_folder import read_manifest
from copycat.records.trial_file import Trial, read_trial
from tests.support.commands import run_copycat
from tests.support.run_folders import read_training_losses

PACKED = "hydra/launcher=packed"
LONG = ("model=shallow", "model.hidden=[3]", "optimizer=adam", "trainer.max_epochs=12", PACKED)


def run_sweep(*words: str, data: Path, at: Path, status: int = 0) -> Path:
    """Run a sweep in this process and return its folder; its output is in output.txt."""
    at.mkdir(parents=True, exist_ok=True)
    output = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(output):
        patch.chdir(at)
        with pytest.raises(SystemExit) as ended:
            main(["train", "-m", *data_overrides(data, at), *words])
    (at / "output.txt").write_text(output.getvalue())
    assert ended.value.code == status, output.getvalue()
    return at / "sweep"


def data_overrides(data: Path, at: Path) -> list[str]:
    return ["data=folder", f"data.root={data}", "data.image_size=8", "trainer.threads=1", f"sweep.folder={at}/sweep"]


def read_trials(folder: Path) -> list[Trial]:
    return [read_trial(folder / str(number)) for number in range(len(list(folder.glob("*/trial.json"))))]


def pack_of(folder: Path) -> Any:
    return read_manifest(folder)["provenance"].get("pack")


def resume_sweep(folder: Path, *, at: Path) -> None:
    done = run_copycat("resume", folder, at=at)
    assert done.returncode == 0, done.stderr


def assert_losses_agree(packed: Path, alone: Path, trials: Iterable[int], *, rel: float = 1e-5) -> None:
    """Require that trials of two sweeps have the same training losses up to rounding."""
    for number in map(str, trials):
        assert read_training_losses(packed / number) == pytest.approx(read_training_losses(alone / number), rel=rel)


def train_packed_and_alone(*words: str, data: Path, at: Path) -> list[tuple[Path, Path]]:
    """Run a sweep as one pack, and with each trial alone; return the folders of each trial.

    Require that all trials were in the pack, left the same files, and ended with the same metrics up to rounding.
    """
    packed, alone = (
        run_sweep(*words, PACKED, data=data, at=at / "packed"),
        run_sweep(*words, data=data, at=at / "alone"),
    )
    count = len(read_trials(packed))
    assert count == len(read_trials(alone)) > 1
    pairs = [(packed / str(number), alone / str(number)) for number in range(count)]
    for mine, other in pairs:
        assert sorted(pack_of(mine)) == list(range(count))
        a, b = (read_manifest(folder)["results"] for folder in (mine, other))
        assert a["final"] == pytest.approx(b["final"], rel=1e-4, abs=1e-6)
        assert a["steps"] == b["steps"]
        names = [{str(p.relative_to(of)) for p in of.rglob("*") if "tfevents" not in p.name} for of in (mine, other)]
        assert names[0] == names[1]
    return pairs


def kill_sweep(words: Sequence[str], *, data: Path, at: Path, epoch: int, program: str = "") -> None:
    """Run a sweep in a process that dies before an epoch, once everything before is saved."""
    run_self_killing_sweep(
        "import copycat.sweeps.packed.loop as packed\n"
        "packed.SAVE_INTERVAL = packed.WRITE_INTERVAL = 0.0\npacked.MAX_SAVING_SHARE = float('inf')\n"
        "epoch = packed.PackTrainer.train_epoch\n"
        "def dying(self, number):\n"
        f"    if number == {epoch}:\n"
        "        for session in self.sessions: session.recorder.writer.wait()\n"
        "        os.kill(os.getpid(), 9)\n"
        "    epoch(self, number)\n"
        f"packed.PackTrainer.train_epoch = dying\n{program}",
        words,
        data=data,
        at=at,
    )


def run_self_killing_sweep(program: str, words: Sequence[str], *, data: Path, at: Path) -> None:
    """Run a sweep in a process that is patched to kill itself."""
    at.mkdir(parents=True, exist_ok=True)
    done = run_copycat(*("train", "-m", *data_overrides(data, at), *words), at=at, program=f"import os\n{program}")
    assert done.returncode == -9, done.stderr
