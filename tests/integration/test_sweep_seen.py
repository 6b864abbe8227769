"""Sweeps as other tools show them: TensorBoard's HParams, and optuna-dashboard on either storage."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run_copycat
from tests.support.sweeps import read_trial_files, tiny_sweep_overrides
from tests.support.tensorboard import read_hparams, serve_tensorboard

pytestmark = pytest.mark.server

GRID = ("hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "optimizer.lr=1e-4,1e-3,1e-2,1e30", "loss=mse")
SEARCH = (
    *("hydra/sweeper=optuna", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "data.holdout=choice(0.2,0.3)"),
    *("hydra/sweeper/pruner=percentile", "hydra.sweeper.pruner.percentile=1"),
    *("hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=0"),
)


@pytest.fixture(scope="module")
def sweep(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of four trials, one of which fails."""
    folder = tmp_path_factory.mktemp("seen")
    typed = [
        *GRID,
        *tiny_sweep_overrides(tiny),
        "logger=tensorboard",
        "logger.tensorboard.graph=false",
        "sweep.folder=sweep",
    ]
    done = run_copycat("train", "-m", *typed, "hydra.sweeper.n_trials=4", at=folder)
    assert done.returncode == 1, done.stderr
    return folder / "sweep"


@pytest.fixture(scope="module")
def in_sqlite(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of two trials, gone on with to four; all but the best so far are pruned."""
    folder = tmp_path_factory.mktemp("seen")
    typed = [
        *SEARCH,
        *tiny_sweep_overrides(tiny),
        "logger=tensorboard",
        "sweep.folder=sweep",
        "hydra.sweeper.storage=sqlite:///study.db",
    ]
    first = run_copycat("train", "-m", *typed, "hydra.sweeper.n_trials=2", at=folder)
    assert first.returncode == 0, first.stderr
    before = read_trial_files(folder / "sweep")
    done = run_copycat("train", "-m", *typed, "hydra.sweeper.n_trials=4", at=folder)
    assert done.returncode == 0, done.stderr
    after = read_trial_files(folder / "sweep")
    assert sorted(after) == [0, 1, 2, 3]
    assert {number: after[number] for number in before} == before
    return folder / "sweep"


def test_hparams_holds_every_trial_with_its_final_figures(sweep: Path) -> None:
    with serve_tensorboard(sweep) as address:
        shown = {group["name"].partition("/")[0]: group for group in read_hparams(address)}
    assert sorted(shown) == ["0", "1", "2", "3"]
    for number, trial in read_trial_files(sweep).items():
        group = shown[str(number)]
        assert group["hparams"]["optimizer.lr"] == trial["values"]["optimizer.lr"]
        assert group["status"] == ("STATUS_FAILURE" if trial["status"] == "failed" else "STATUS_SUCCESS")
        final = json.loads((sweep / str(number) / "run.json").read_text())["results"].get("final", {})
        assert bool(final) == (trial["status"] == "completed")
        found = {name: value for name, value in group["metrics"].items() if name.startswith("final/")}
        found.pop("final/val/ece", None)  # a callback's own
        assert found == {f"final/{name}": value for name, value in final.items()}
    assert sorted(trial["status"] for trial in read_trial_files(sweep).values()) == ["completed"] * 3 + ["failed"]


def test_hparams_tells_pruned_trials_from_failed_ones_and_shows_what_varies(in_sqlite: Path) -> None:
    with serve_tensorboard(in_sqlite) as address:
        shown = {group["name"].partition("/")[0]: group for group in read_hparams(address)}
    found = read_trial_files(in_sqlite)
    assert {"completed", "pruned"} == {trial["status"] for trial in found.values()}
    for number, trial in found.items():
        group = shown[str(number)]
        assert group["status"] == {"completed": "STATUS_SUCCESS", "pruned": "STATUS_UNKNOWN"}[trial["status"]]
        assert group["hparams"]["data.holdout"] == trial["values"]["data.holdout"]
        assert "val/loss" in group["metrics"]


@contextmanager
def serve_dashboard(storage: str, *, at: Path) -> Iterator[str]:
    """optuna-dashboard on a storage; gives the address of its API."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("optuna-dashboard"))
    command = [program, storage, "--host", "127.0.0.1", "--port", str(port)]
    with (at / "dashboard.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=at, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}/api/"
            until = time.monotonic() + 60
            while True:
                try:
                    fetch_json(address + "studies")
                    break
                except urllib.error.URLError:
                    assert server.poll() is None, (at / "dashboard.log").read_text()
                    assert time.monotonic() < until
                    time.sleep(0.1)
            yield address
        finally:
            server.kill()
            server.wait()


def fetch_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def check_dashboard(storage: str, sweep: Path) -> None:
    """Whether it shows the sweep's study, each trial with its number, state, values and parameters."""
    with serve_dashboard(storage, at=sweep) as address:
        (study,) = fetch_json(f"{address}studies")["study_summaries"]
        assert study["study_name"] == sweep.name
        shown = fetch_json(f"{address}studies/{study['study_id']}?after=0")["trials"]
    said = read_trial_files(sweep)
    assert [trial["number"] for trial in shown] == sorted(said)
    for trial in shown:
        own = said[trial["number"]]
        assert trial["state"] == {"completed": "Complete", "failed": "Fail", "pruned": "Pruned"}[own["status"]]
        assert trial.get("values", []) == [*own["objectives"].values()]
        (lr,) = (param for param in trial["params"] if param["name"] == "optimizer.lr")
        assert float(lr["param_external_value"]) == own["values"]["optimizer.lr"]


def test_optuna_dashboard_opens_the_journal(sweep: Path) -> None:
    check_dashboard("study.journal", sweep)


def test_optuna_dashboard_opens_sqlite(in_sqlite: Path) -> None:
    check_dashboard(f"sqlite:///{in_sqlite.parent / 'study.db'}", in_sqlite)
    assert not (in_sqlite / "study.journal").exists()


def test_a_trial_that_violates_a_constraint_is_not_the_best(tiny: Path, tmp_path: Path) -> None:
    typed = [*tiny_sweep_overrides(tiny), "optimizer.lr=0.01,0.001", "model=logistic,shallow", "sweep.folder=sweep"]
    done = run_copycat("train", "-m", *typed, 'sweep.constraints=["parameters<=200"]', at=tmp_path)
    assert done.returncode == 0, done.stderr
    found = read_trial_files(tmp_path / "sweep")
    by_size = {trial["values"]["model"]: trial["violated_constraints"] for trial in found.values()}
    assert by_size == {"logistic": [], "shallow": ["parameters<=200"]}
    kept = {number: trial for number, trial in found.items() if not trial["violated_constraints"]}
    least = min(kept, key=lambda number: kept[number]["objectives"]["val/loss"])
    assert f"by trial {least}" in done.stdout
    assert done.stdout.count("violates parameters<=200") == 2
    best = run_copycat("runs", "sweep", "--best", at=tmp_path).stdout
    assert best.strip().endswith(f"sweep/{least}")
    none = run_copycat("runs", "sweep", "--best", "--filter", "model=shallow", at=tmp_path)
    assert (none.returncode, none.stdout) == (2, "")
    assert "expected a completed trial that keeps to sweep.constraints; got none" in none.stderr


def test_a_trial_predicts_reports_and_is_inspected_like_any_run(sweep: Path, tiny: Path) -> None:
    found = run_copycat("predict", "sweep/0", tiny / "val", "--json", at=sweep.parent)
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)["predictions"]) == 8
    for folder, title in (("sweep/0", "mlp on Folder"), ("sweep", "Sweep of lr on Folder")):
        page = run_copycat("report", folder, at=sweep.parent)
        assert (page.returncode, page.stdout) == (0, f"{folder}/report.html\n"), page.stderr
        assert f"<h1>{title}</h1>" in (sweep.parent / folder / "report.html").read_text()
