"""Commands that take long print their first line before the imports that take seconds, then one every few seconds."""

import sys
from pathlib import Path

import pytest

from copycat.cli.dispatch import run_command
from copycat.sweeps import progress_display
from tests.support.packs import LONG, run_sweep
from tests.support.runs import QUIET, train_tiny


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder


@pytest.mark.parametrize(
    ("words", "blocked", "line"),
    [
        ("export RUN --format onnx", "copycat.deploy.export", "copycat: loading the network of RUN"),
        ("app RUN --no-browser", "copycat.deploy.app", "copycat: loading PyTorch and 1 run"),
        ("train -m optimizer.lr=0.1,1", "copycat.sweeps.start", "copycat: checking the sweep over optimizer.lr"),
        (
            "train -m seed=1,1",
            "copycat.sweeps.start",
            "copycat: checking the sweep over seed\ncopycat: seed=1: named twice, so its configuration trains twice",
        ),
    ],
)
def test_the_first_line_comes_before_the_slow_imports(
    words: str,
    blocked: str,
    line: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, blocked, None)  # its import fails
    with pytest.raises(ImportError, match=blocked):
        run_command([str(folder) if word == "RUN" else word for word in words.split()])
    assert capsys.readouterr().err.replace(str(folder), "RUN") == f"{line}\n"


def test_a_pack_prints_its_epochs_to_a_log(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for interval in ("PRINT_INTERVAL", "REFRESH_SECONDS"):
        monkeypatch.setattr(progress_display, interval, 0.0)
    run_sweep(*LONG, "callbacks=none", "logger=none", "optimizer.lr=0.01,0.1", data=tiny, at=tmp_path)
    lines = (tmp_path / "output.txt").read_text().splitlines()
    assert lines[1] == f"copycat: training the sweep's trials in {tmp_path}/sweep"
    assert [line for line in lines if "pack in epoch" in line] == [
        f"trials 0/2: 2 running, pack in epoch {epoch} of 12" for epoch in range(1, 13)
    ]
