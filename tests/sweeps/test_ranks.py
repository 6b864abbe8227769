"""Trials that each have several ranks."""

import json
from pathlib import Path

from tests.support.commands import run_copycat, run_copycat_in_new_interpreter
from tests.support.ranks import TWO
from tests.support.sweeps import read_trial_files


def test_each_trial_of_a_sweep_with_several_ranks_has_one_folder(tmp_path: Path) -> None:
    words = (*TWO, "trainer.max_epochs=2", "model.hidden=[2]", "callbacks=none", "logger=none", "seed=0,1")
    done = run_copycat("train", "-m", *words, f"sweep.folder={tmp_path}/sweep", at=tmp_path)
    assert done.returncode == 0, done.stderr
    manifests = sorted(tmp_path.rglob("run.json"))
    assert [path.parent.name for path in manifests] == ["0", "1"]
    assert all(json.loads(path.read_text(encoding="utf-8"))["status"] == "completed" for path in manifests)
    assert all((path.parent / "train.1.log").exists() for path in manifests)


def test_a_pruner_ends_a_trial_on_all_its_ranks_after_the_epoch_that_ends_it_in_one_process(tmp_path: Path) -> None:
    search = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra/sweeper/sampler=grid")
    pruner = ("hydra/sweeper/pruner=percentile", "hydra.sweeper.pruner.n_startup_trials=1")
    words = (
        *search,
        *pruner,
        "hydra.sweeper.pruner.n_warmup_steps=2",
        "optimizer=adam",
        "optimizer.lr=choice(1e-9,1e-4,2e-4,3e-4)",
    )
    found = {}
    for name, ranks in (("two", TWO), ("one", ("trainer.threads=1",))):
        run = ("trainer.max_epochs=6", "model=logistic", "callbacks=none", "logger=none", *ranks)
        done = run_copycat("train", "-m", *words, *run, f"sweep.folder={tmp_path}/{name}", at=tmp_path)
        assert done.returncode == 0, done.stderr
        found[name] = {
            record["values"]["optimizer.lr"]: (record["status"], read_epochs(tmp_path / name / str(record["number"])))
            for record in read_trial_files(tmp_path / name).values()
        }
    assert found["two"] == found["one"]
    pruned = [epochs for status, epochs in found["two"].values() if status == "pruned"]
    assert pruned
    assert max(pruned) < 6


def read_epochs(folder: Path) -> int:
    epochs: int = json.loads((folder / "run.json").read_text(encoding="utf-8"))["results"]["epochs"]
    return epochs


def test_a_sweep_that_a_launcher_starts_several_times_is_refused(tmp_path: Path) -> None:
    ranks = {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    done = run_copycat_in_new_interpreter("train", "-m", "trainer=ddp", "seed=0,1", at=tmp_path, **ranks)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("copycat: -m: expected a start of one process")
    assert not list(tmp_path.rglob("sweep.json"))
