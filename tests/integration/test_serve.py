"""`copycat serve`: a real process, asked as its page in the documentation says."""

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from copycat.deploy.arguments import open_completed
from copycat.deploy.predict import Prediction, predict_files
from copycat.deploy.predictor import open_predictor
from tests.support.app import serve_app
from tests.support.commands import run_copycat
from tests.support.runs import QUIET, train_tiny
from tests.support.shown_commands import DOCS

pytestmark = pytest.mark.server

DOCUMENTED = "http://127.0.0.1:8000/"
WARNING = r"copycat: 0\.0\.0\.0 is no address of this machine alone: whoever reaches port \d+ can use these runs\n"


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny("trainer.max_epochs=9", *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serve_app(folder, "--port", "0", command=("serve",), end=signal.SIGTERM) as address:
        yield address


@pytest.fixture
def expected(folder: Path, tiny: Path, tmp_path: Path) -> list[Prediction]:
    """What is predicted of cat.jpg and dog.jpg, which are written to the test's folder."""
    for name in ("cat", "dog"):
        shutil.copyfile(tiny / "val" / name / "0.png", tmp_path / f"{name}.jpg")
    with open_predictor(open_completed(folder)) as predictor:
        found = list(predict_files(predictor, [tmp_path / "cat.jpg", tmp_path / "dog.jpg"]))
    assert all(isinstance(one, Prediction) for one in found)
    return found  # type: ignore[return-value]


def read_blocks(language: str) -> str:
    page = (DOCS / "how-to" / "serve.md").read_text(encoding="utf-8")
    return "".join(re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL))


def test_the_curl_commands_of_the_page_classify(address: str, tmp_path: Path, expected: list[Prediction]) -> None:
    one, several = read_blocks("bash").replace(DOCUMENTED, address).splitlines()
    for command, count in ((one, 1), (several, 2)):
        said = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=True, timeout=60).stdout
        rows = json.loads(said)["predictions"]
        assert [row["file"] for row in rows] == ["-"] if count == 1 else ["cat.jpg", "dog.jpg"]
        for row, prediction in zip(rows, expected[:count], strict=True):
            found = [row["probability/cat"], row["probability/dog"]]
            assert found == pytest.approx(prediction.probabilities, abs=1e-6)


def test_the_python_of_the_page_classifies(address: str, tmp_path: Path, expected: list[Prediction]) -> None:
    code = read_blocks("python").replace(DOCUMENTED, address)
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True, timeout=60
    ).stdout
    name, probability = said.decode().split()
    assert name == max(zip(expected[0].probabilities, ["cat", "dog"], strict=True))[1]
    assert float(probability) == pytest.approx(max(expected[0].probabilities), abs=1e-6)


def test_the_page_lies_on_top(address: str) -> None:
    with urllib.request.urlopen(address, timeout=60) as page:
        assert "Classify images" in page.read().decode()


def test_on_all_addresses_it_warns_and_answers(folder: Path) -> None:
    words = ("--port", "0", "--host", "0.0.0.0")
    with serve_app(folder, *words, command=("serve",), warning=WARNING) as address:
        request = urllib.request.Request(
            f"{address.replace('0.0.0.0', '127.0.0.1')}health", headers={"Host": "cats.example"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer) == {"status": "ok", "runs": 1}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--host", "203.0.113.7"), "--host: expected an address of this machine; got '203.0.113.7'. "),
        (("--host", "no such host"), "--host: expected an address of this machine; got 'no such host'. "),
        (("--port", "x"), "--port: expected a whole number from 0 to 65535; got 'x'"),
    ],
)
def test_a_wrong_address_is_one_line(words: tuple[str, ...], line: str, folder: Path, tmp_path: Path) -> None:
    done = run_copycat("serve", folder, *words, at=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert line in done.stderr.splitlines()[-1]


def test_a_taken_port_is_one_line(address: str, folder: Path, tmp_path: Path) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    done = run_copycat("serve", folder, "--port", port, at=tmp_path)
    assert done.returncode == 2
    assert f"--port: expected a free port; got {port}, which is taken. Type another, or 0 for any." in done.stderr
