"""A calibration that cannot be made as it is asked for is one line, in a command and in Python, and writes nothing."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import copycat
from copycat.config.errors import UserError
from tests.support.calibration import read_calibration_file
from tests.support.commands import call_copycat


@pytest.fixture
def folder(overfitted: Path, tmp_path: Path) -> Path:
    return shutil.copytree(overfitted, tmp_path / "run")


def refuse(*words: object, capsys: pytest.CaptureFixture[str], command: str = "calibrate") -> str:
    call_copycat(command, *words, status=2)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--coverage 0.99",
            "--coverage 0.99: expected 99 images or more to calibrate on; got 48, which allow at most 0.97",
        ),
        ("--recall 0.99", "--recall 0.99: expected 99 images or more of dog in the validation part; got 24"),
        ("--coverage 90", "--coverage: expected a number between 0 and 1; got 90"),
        ("--cost-fp -1", "--cost-fp: expected a number of 0 or more; got -1"),
        ("--recall nan", "--recall: expected a number between 0 and 1; got nan"),
        ("--recall much", "--recall: expected a number between 0 and 1; got 'much'"),
        ("--cost-fp 1 --recall 0.9", "--recall: expected alone, as one rule decides; got also --cost-fp"),
        ("--cost-fn 1 --recall 0.9", "--recall: expected alone, as one rule decides; got also --cost-fn"),
        ("--cost-fn 1 --costs [[0,1],[1,0]]", "--costs: expected alone, as one rule decides; got also --cost-fn"),
        ("--recall 0.9 --class dgo", "--class: expected one of cat, dog; got 'dgo'. Did you mean --class dog?"),
        ("--class dog", "--class: expected --recall, --cost-fp or --cost-fn beside it; got none"),
        ("--costs [[0,1]]", "--costs: expected 2 rows of 2 numbers, in the order cat, dog; got [[0,1]]"),
        ("--costs nowhere.json", "--costs: expected a matrix such as '[[0,1],[5,0]]', or a file of it; no such file"),
        ("--sets lac", "--sets: expected --coverage beside it; got none. Type --coverage 0.9 --sets lac."),
        ("--half --validation", "--validation: expected alone; got also --half"),
        ("--out-of-fold nowhere", "nowhere: expected a completed run, or a folder of them; got none"),
    ],
)
def test_a_wrong_call_is_a_line_and_writes_nothing(
    words: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refuse(folder, *words.split(), capsys=capsys)
    assert message in said.replace("argument ", "")
    assert not (folder / "calibration.json").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coverage": -0.5}, r"^coverage: expected a number between 0 and 1; got -0\.5\.$"),
        ({"coverage": 1}, r"^coverage: expected a number between 0 and 1; got 1\.$"),
        ({"coverage": "a"}, r"^coverage: expected a number between 0 and 1; got 'a'\.$"),
        ({"coverage": 0.99}, r"^coverage 0\.99: expected 99 images or more in the validation part; got 48"),
        ({"recall": -1}, r"^recall: expected a number between 0 and 1; got -1\.$"),
        ({"recall": 0.9, "positive": 3}, r"^positive: expected one of cat, dog; got 3\.$"),
        ({"recall": 0.9, "positive": "dgo"}, r"^positive: expected one of cat, dog; got 'dgo'\. Did you mean dog\?$"),
        ({"positive": "dog"}, r"^positive: expected recall beside it; got none\.$"),
        (
            {"recall": 0.9, "costs": [[0, 1], [1, 0]]},
            r"^recall: expected alone, as one rule decides; got also costs\.$",
        ),
        ({"costs": 3}, r"^costs: expected 2 rows of 2 numbers, in the order cat, dog; got 3\.$"),
        ({"costs": "costs.json"}, r"^costs: expected 2 rows of 2 numbers, .*; got costs\.json\.$"),
        ({"costs": [[0, "1"], [1, 0]]}, r"^costs: expected 2 rows of 2 numbers"),
        ({"coverage": 0.9, "sets": "foo"}, r"^sets: expected one of aps, lac; got 'foo'\.$"),
        ({"sets": "aps"}, r"^sets: expected coverage beside it; got none\. Type coverage=0\.9\.$"),
        ({"on": "haf"}, r"^on: expected one of half, out of fold, validation; got 'haf'\. Did you mean half\?$"),
    ],
)
def test_a_wrong_value_in_python_is_a_line_and_writes_nothing(
    given: dict[str, Any], message: str, folder: Path
) -> None:
    with pytest.raises(UserError, match=message):
        copycat.load_run(folder).calibrate(**given)
    assert not (folder / "calibration.json").exists()


def test_numbers_and_matrices_of_numpy_are_taken_in_python(folder: Path) -> None:
    run = copycat.load_run(folder)
    costs: Any = np.array([[0, 1], [5, 0]])
    run.calibrate(coverage=np.float64(0.9), costs=costs)
    found = read_calibration_file(folder)
    assert (found["coverage"], found["costs"]) == (0.9, [[0, 1], [5, 0]])


@pytest.mark.parametrize("damage", ["empty", "cut", "other bytes", "folder"])
def test_a_run_whose_weights_are_damaged_is_refused_and_nothing_is_written(
    damage: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = folder / "weights.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    if damage == "folder":
        weights.mkdir()
    else:
        weights.write_bytes({"empty": b"", "cut": content[:-8], "other bytes": bytes(range(256)) * 9}[damage])
    assert f"copycat: {weights}: expected weights as safetensors; " in refuse(folder, capsys=capsys)
    assert not (folder / "calibration.json").exists()


def test_changed_weights_are_refused_before_their_calibration_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_copycat("calibrate", folder)
    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    says = f"copycat: {weights}: expected the weights that the run recorded; got others, changed or damaged since. "
    assert says in refuse(folder, capsys=capsys)
    assert says in refuse(folder, weights, capsys=capsys, command="predict")
    assert says in refuse(folder, "--format", "torch", capsys=capsys, command="export")
    assert says in refuse("--weights", folder, capsys=capsys, command="inspect")
    (folder / "calibration.json").unlink()
    assert says in refuse(folder, capsys=capsys, command="report")
