"""The table of runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from copycat.runs.table import find_runs, print_runs
from tests.runs.asking import QUIET, run
from tests.runs.written import write_run, write_trial_of


def test_a_row_shows_what_was_asked_and_what_came_out(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run("seed=42", "trainer.max_epochs=2", *QUIET, data=tiny, at=tmp_path)
    print_runs(tmp_path)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "completed" in line]
    assert outcome.folder.name in row
    assert "seed=42" in row
    assert f"{outcome.manifest['came_out']['final']['val/accuracy']:.4f}" in row


def test_a_damaged_manifest_is_named_and_the_others_are_shown(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path)
    broken = tmp_path / "default" / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    print_runs(tmp_path)
    out, err = capsys.readouterr()
    assert "completed" in out
    assert str(broken / "run.json") in err


def test_drawn_images_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from copycat.config.compose import compose
    from copycat.runs.train import train

    train(compose(["trainer.max_epochs=1", *QUIET, f"output_dir={tmp_path}"]))
    print_runs(tmp_path)
    assert "drawn" in capsys.readouterr().out


def test_an_empty_folder_says_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_runs(tmp_path)
    assert "copycat train" in capsys.readouterr().out


def test_a_run_s_own_folder_is_a_table_of_one(tiny: Path, tmp_path: Path) -> None:
    outcome = run("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path)
    assert list(find_runs(outcome.folder)) == [outcome.folder]


def test_the_table_needs_no_torch(tmp_path: Path) -> None:
    script = (
        f"import sys; from copycat.cli import _run; _run(['runs', {str(tmp_path)!r}]); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize(("key", "value"), [("values", ["a"]), ("number", "0"), ("objectives", {"val/loss": "low"})])
def test_a_trial_of_wrong_types_is_named_and_the_others_are_shown(
    key: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        write_trial_of(tmp_path, number, {"seed": number}, status="completed", val_loss=0.5)
    file = tmp_path / "0" / "trial.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    print_runs(tmp_path)
    out, err = capsys.readouterr()
    assert "seed=1" in out
    assert err.startswith(f"copycat: {file}: ")
    assert err.count("\n") == 1


def test_words_of_others_do_not_move_the_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "0", overrides=["seed=\x1b[2J\u202e1"])
    print_runs(tmp_path)
    out = capsys.readouterr().out
    assert "seed=" in out
    assert "\x1b" not in out
    assert "\u202e" not in out
