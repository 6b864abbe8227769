"""A stranger's calibration.json is numbers alone: any other content is refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from copycat.config.errors import UserError
from copycat.records.calibration_file import Calibration, is_foreign_calibration, read_calibration, write_calibration
from copycat.records.digests import digest_file

Content = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    made = Calibration(
        weights=digest_file(tmp_path / "weights.safetensors"),
        created="2026-11-28T00:00:00.000+00:00",
        fitted_on="validation",
        images=50,
        temperature=1.5,
        checked={"nll": 0.5},
        costs=[[0.0, 1.0], [5.0, 0.0]],
        coverage=0.9,
        sets="lac",
        quantile=0.7,
        rank=46,
    )
    write_calibration(tmp_path, made)
    assert read_calibration(tmp_path, classes=2) == made
    assert not is_foreign_calibration(tmp_path, classes=2)
    return tmp_path


def edit(folder: Path, change: Callable[[Content], object]) -> None:
    content = json.loads((folder / "calibration.json").read_text())
    change(content)
    (folder / "calibration.json").write_text(json.dumps(content))


def test_a_run_without_one_has_none(tmp_path: Path) -> None:
    assert read_calibration(tmp_path, classes=2) is None


def test_one_that_was_changed_is_read_but_is_not_ones_own(folder: Path) -> None:
    edit(folder, lambda content: content.update(temperature=2.5))
    found = read_calibration(folder, classes=2)
    assert found is not None
    assert found.temperature == 2.5
    assert is_foreign_calibration(folder, classes=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema": 2}, "expected schema 1"),
        ({"temperature": 0}, "temperature: expected 0.01 to 100; got 0"),
        ({"temperature": "2"}, "temperature: expected float; got '2'"),
        ({"temperature": float("nan")}, "NaN is no finite number"),
        ({"images": 0}, "images: expected 1 or more"),
        ({"fitted_on": "the moon"}, "fitted_on: expected"),
        ({"costs": [[0, 1]]}, "costs: expected 2 rows of 2 numbers"),
        ({"costs": [[0, "x"], [1, 0]]}, "costs: expected"),
        ({"positive": 2, "threshold": 0.5}, "positive: expected a label of 2 classes"),
        ({"threshold": 0.5}, "positive: expected a label of 2 classes, beside a threshold"),
        ({"quantile": None}, "coverage: expected sets, quantile and rank beside it"),
        ({"rank": 51}, "rank: expected 1 to 50; got 51"),
        ({"sets": "__import__('os')"}, "sets: expected"),
        ({"_target_": "os.system"}, "expected other keys"),
    ],
)
def test_a_value_that_no_calibration_has_is_named(values: Content, message: str, folder: Path) -> None:
    edit(folder, lambda content: content.update(values))
    with pytest.raises(UserError) as error:
        read_calibration(folder, classes=2)
    line = str(error.value)
    assert message in line
    assert line.startswith(str(folder / "calibration.json"))
    assert line.isprintable()
    assert line.endswith(f"Type copycat calibrate {folder}, or remove the file.")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b" " * (2**24 + 1)], ids=len)
def test_what_is_no_json_object_of_a_limited_size_is_refused(content: bytes, folder: Path) -> None:
    (folder / "calibration.json").write_bytes(content)
    with pytest.raises(UserError, match=r"calibration\.json: expected the calibration of a run; "):
        read_calibration(folder, classes=2)


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "calibration.json").rename(folder / "other.json")
    (folder / "calibration.json").symlink_to(folder / "other.json")
    with pytest.raises(UserError, match="it is a link"):
        read_calibration(folder, classes=2)
