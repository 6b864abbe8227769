"""Each command reads and checks the files of a run folder once, and hands on what it read."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from copycat.config.validation import check_config
from copycat.records.safe_parsers import read_file
from tests.support.commands import call_copycat
from tests.support.runs import train_tiny
from tests.support.sweep_folders import make_trial, write_sweep_folder

COMMANDS = {
    "rerun": ["rerun", "RUN"],
    "rerun --check": ["rerun", "RUN", "--check"],
    "resume": ["resume", "RUN", "trainer.max_epochs=2"],
    "predict": ["predict", "RUN", "IMAGES"],
    "evaluate": ["evaluate", "RUN"],
    "evaluate, several": ["evaluate", "RUN", "OTHER"],
    "evaluate, other data": ["evaluate", "RUN", "OTHER", "data=folder", "data.root=DATA"],
    "evaluate, a folder": ["evaluate", "FOLDER"],
    "export": ["export", "RUN", "--format=safetensors", "--to=TO"],
    "app": ["app", "FOLDER", "--no-browser"],
    "report": ["report", "RUN", "--to=TO.html"],
    "report, several": ["report", "RUN", "OTHER", "--to=TO.html"],
    "report, a folder": ["report", "FOLDER", "--to=TO.html"],
    "compare": ["compare", "RUN", "OTHER"],
    "report, a sweep": ["report", "SWEEP", "--to=TO.html"],
    "compare, a sweep": ["compare", "SWEEP"],
    "runs, a sweep": ["runs", "SWEEP"],
    "board": ["board", "FOLDER", "--no-browser"],
    "runs": ["runs", "FOLDER"],
}
WITHOUT_CONFIG = ("board", "runs", "runs, a sweep", "report, a sweep")
"""Commands that show what run.json says."""


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs, `1` and `2`; what is trained from them lands elsewhere."""
    at = tmp_path_factory.mktemp("runs")
    (at / "moved").mkdir()
    for seed in (1, 2):
        train_tiny("trainer.max_epochs=1", f"seed={seed}", data=tiny, at=at).folder.rename(at / "moved" / str(seed))
    return at / "moved"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each file was read, by path; and under `rules` how often a configuration was held against them."""
    found: Counter[Path] = Counter()

    def count(name: str, original: Callable[..., Any]) -> None:
        def counted(*arguments: Any, **more: Any) -> Any:
            found[arguments[0] if isinstance(arguments[0], Path) else Path("rules")] += 1
            return original(*arguments, **more)

        monkeypatch.setattr(name, counted)

    count("copycat.records.run_folder.read_file", read_file)
    count("copycat.records.reader.read_file", read_file)
    count("copycat.records.trial_file.read_file", read_file)
    count("copycat.config.validation.check_config", check_config)
    return found


@pytest.fixture
def _servers_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)
    monkeypatch.setattr("copycat.inspection.tensorboard.board.launch", lambda *_, **__: "an address")
    monkeypatch.setattr("copycat.inspection.tensorboard.board.time", SimpleNamespace(sleep=_interrupt))


def _interrupt(_: float) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("_servers_end_at_once")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_folder_is_opened_once(
    command: str, trained: Path, tiny: Path, tmp_path: Path, reads: Counter[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run, other = trained / "1", trained / "2"
    if command == "resume":  # it changes its run
        run = shutil.copytree(run, tmp_path / "run")
    is_sweep = "SWEEP" in COMMANDS[command]
    if is_sweep:
        sweep = shutil.copytree(trained, tmp_path / "sweep")
        run, other = sweep / "1", sweep / "2"
        trials = [make_trial(number, {"seed": number}, 0.5) for number in (1, 2)]
        write_sweep_folder(sweep, trials, space={"seed": "1,2"})
    places = {"RUN": run, "OTHER": other, "SWEEP": run.parent, "FOLDER": trained}
    places |= {"IMAGES": tiny / "val", "DATA": tiny, "TO": Path("to")}
    call_copycat(*(_replaced(word, places) for word in COMMANDS[command]))
    opened = [run, other] if {"OTHER", "FOLDER", "SWEEP"} & set(COMMANDS[command]) else [run]
    files = ["run.json", *([] if command in WITHOUT_CONFIG else ["config.yaml"]), *(["trial.json"] if is_sweep else [])]
    expected = {folder / name: 1 for folder in opened for name in files}
    if command == "report, a sweep":  # whether its epochs were validated on all images
        expected[run / "config.yaml"] = 1
    found = {path: count for path, count in reads.items() if path.parent in (run, other) and path.exists()}
    assert found == expected
    assert reads[Path("rules")] <= len(opened)


def _replaced(word: str, places: dict[str, Any]) -> str:
    for name, place in places.items():
        word = word.replace(name, str(place))
    return word
