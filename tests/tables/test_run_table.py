"""The table of runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.config.printable import make_console
from copycat.records.reader import find_runs
from copycat.sweeps.show import show_compared, show_runs
from copycat.tables.query import Query
from copycat.tables.run_table import print_runs
from tests.support.run_folders import write_run
from tests.support.runs import QUIET, train_tiny
from tests.support.sweep_folders import make_trial, write_sweep_folder, write_trial_folder


def test_a_row_shows_what_was_asked_and_what_came_out(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = train_tiny("seed=42", "trainer.max_epochs=2", *QUIET, data=tiny, at=tmp_path)
    print_runs(tmp_path)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "completed" in line]
    assert outcome.folder.name in row
    assert "seed=42" in row
    assert f"{outcome.manifest['results']['final']['val/accuracy']:.4f}" in row


def test_a_damaged_manifest_is_named_and_the_others_are_shown(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path)
    broken = tmp_path / "default" / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    print_runs(tmp_path)
    out, err = capsys.readouterr()
    assert "completed" in out
    assert str(broken / "run.json") in err


def test_a_damaged_run_alone_is_named_and_no_other_is_advised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text("{")
    print_runs(tmp_path)
    out, err = capsys.readouterr()
    assert out == f"no readable run in {tmp_path}\n"
    assert f"{tmp_path / 'run.json'}: expected a run's manifest; it is no JSON at line 1. Restore it" in err


def test_drawn_images_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from copycat.config.compose import compose
    from copycat.training.train import train

    train(compose(["trainer.max_epochs=1", *QUIET, f"output_dir={tmp_path}"]))
    print_runs(tmp_path)
    out = capsys.readouterr().out
    assert "completed (drawn)" not in out
    assert "trained on drawn images, not on photos" in out.splitlines()
    write_run(tmp_path / "photos")
    print_runs(tmp_path)
    out = capsys.readouterr().out
    assert [line.split("│")[2].strip() for line in out.splitlines() if "completed" in line] == [
        "completed",
        "completed (drawn)",
    ]
    assert "(drawn): trained on drawn images, not on photos" in out.splitlines()


def test_80_columns_keep_the_name_of_a_run_and_of_a_metric_whole(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("run_table", "comparison_table"):
        monkeypatch.setattr(f"copycat.tables.{module}.wide_console", lambda: make_console(width=80))
    folders = [train_tiny(f"seed={n}", "trainer.max_epochs=2", *QUIET, data=tiny, at=tmp_path).folder for n in range(4)]
    print_runs(tmp_path)
    out = capsys.readouterr().out
    assert all(folder.name in out for folder in folders)
    show_compared(folders, form="table", equal=False)
    assert "final/train/balanced_accuracy" in capsys.readouterr().out


def test_an_empty_folder_says_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_runs(tmp_path)
    assert "copycat train" in capsys.readouterr().out


def test_a_run_s_own_folder_is_a_table_of_one(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path)
    assert list(find_runs(outcome.folder)) == [outcome.folder]


def test_the_table_needs_no_torch(tmp_path: Path) -> None:
    script = (
        f"import sys; from copycat.cli.dispatch import run_command; run_command(['runs', {str(tmp_path)!r}]);"
        " sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize(("key", "value"), [("values", ["a"]), ("number", "0"), ("objectives", {"val/loss": "low"})])
def test_a_trial_of_wrong_types_is_named_and_the_others_are_shown(
    key: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        write_trial_folder(tmp_path, number, {"seed": number}, status="completed", val_loss=0.5)
    file = tmp_path / "0" / "trial.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    print_runs(tmp_path)
    out, err = capsys.readouterr()
    assert "seed=1" in out
    assert err.startswith(f"copycat: {file}: ")
    assert err.count("\n") == 1


def test_the_best_by_an_objective_is_that_of_the_sweep_s_table_and_keeps_to_its_constraints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [make_trial(n, {"seed": n}, loss) for n, loss in enumerate((0.3, 0.2))]
    trials.append(make_trial(2, {"seed": 2}, 0.1, violated_constraints=["parameters<=1"]))
    sweep = write_sweep_folder(tmp_path / "sweep", trials, space={"seed": "0,1,2"})
    for trial, final in zip(trials, (0.4, 0.9, 0.1), strict=True):
        write_run(sweep / str(trial.number), final={"val/loss": final})
        (sweep / str(trial.number) / "config.yaml").write_text("{}")
    for folder, by, best in ((sweep, "val/loss", 1), (sweep, "final/val/loss", 0), (tmp_path, None, 0)):
        show_runs(folder, Query(), form="best", by=by)
        assert capsys.readouterr().out == f"copycat rerun {sweep / str(best)}\n"
    with pytest.raises(UserError, match=r"completed run with val/loss that keeps to sweep.constraints; got none"):
        show_runs(sweep, Query(filters=["seed=2"]), form="best", by="val/loss")
    (sweep / "0" / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"0/config.yaml: expected a file of the run; it is missing"):
        show_runs(tmp_path, Query(), form="best", by=None)


def test_an_accuracy_has_its_interval_and_the_majority_baseline_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "old", final={"val/accuracy": 0.8})  # does not say of how many images
    write_run(tmp_path / "new", final={"val/accuracy": 0.8}, data={"images": {"val": 50}, "majority": {"val": 0.66}})
    print_runs(tmp_path)
    out = capsys.readouterr().out
    lines = {line.split("│")[1].strip(): line for line in out.splitlines() if "completed" in line}
    for explained in ("final", "95 % interval", "majority baseline"):
        assert f"\n{explained}: " in out
    assert "0.8000 │ 0.67 to 0.89 │ 0.6600" in lines["new"]  # Wilson's, as statsmodels reckons it: 0.6696 to 0.8876
    assert "0.67" not in lines["old"]
    show_runs(tmp_path, Query(filters=["accuracy_low>0.66"]), form="json", by=None)
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert (row["run"], row["majority"]) == ("new", 0.66)
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((0.66963, 0.88758), abs=1e-4)


def test_a_run_records_the_share_of_the_commonest_class_of_each_part(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for part in ("train", "val"):
        shutil.copytree(tiny / part, tmp_path / "data" / part)
    for image in sorted((tmp_path / "data" / "val" / "cat").iterdir())[:2]:
        image.unlink()
    outcome = train_tiny("trainer.max_epochs=1", *QUIET, data=tmp_path / "data", at=tmp_path / "out")
    assert outcome.manifest["data"]["majority"] == {"train": 0.5, "val": pytest.approx(4 / 6)}
