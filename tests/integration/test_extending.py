"""CONTRIBUTING.md and docs/how-to/extend.md say how things are: each example is written to a folder and used."""

import csv
import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import CompletedCommand, run_copycat
from tests.support.images import write_image_folder
from tests.support.run_folders import find_only_run
from tests.support.shown_commands import load_script

ROOT = Path(__file__).parents[2]
MAP = (ROOT / "CONTRIBUTING.md").read_text()
_, *_sections = re.split(r"^## ", (ROOT / "docs" / "how-to" / "extend.md").read_text(), flags=re.MULTILINE)
SECTIONS = {text.partition("\n")[0]: text for text in _sections}
EDITED = ("A command",)
"""Sections that edit files of the repository."""


def read_files(section: str) -> dict[str, str]:
    """Return the files of a section by path, which the first line has, as `# PATH`, or the text before it."""
    name = r"(\S+\.(?:py|yaml))"
    blocks = re.findall(r"^```(?:python|yaml)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    inside = {found[1]: block for block in blocks if (found := re.match(f"# {name}\n", block))}
    return inside | dict(re.findall(rf"This is {name}:\n\n```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL))


def read_commands(section: str) -> list[tuple[dict[str, str], list[str]]]:
    """Return the commands after "Then", each with its environment variables and arguments."""
    (line,) = re.findall(r"^Then .*$", section, re.MULTILINE)
    commands = []
    for command in re.findall(r"`([^`]+)`", line):
        before, _, arguments = command.partition("copycat ")
        commands.append((dict(word.split("=", 1) for word in before.split()), shlex.split(arguments)))
    return commands


def read_edits(section: str) -> Iterator[tuple[str, str, str]]:
    """Yield the edits of a section: a file, and text of it with the text that takes its place."""
    (diff,) = re.findall(r"^```diff\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        path, _, hunks = part.partition("\n")
        for hunk in re.split(r"^@@.*\n", hunks, flags=re.MULTILINE):
            before, after = ("".join(line[1:] for line in hunk.splitlines(True) if line[0] in f" {s}") for s in "-+")
            yield path, before, after


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def run(arguments: list[str], environment: Mapping[str, str], *, at: Path) -> CompletedCommand:
    done = run_copycat(*arguments, at=at, environment=environment)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a user's own package and options: every example that edits nothing."""
    write_files(tmp_path, {"mine/__init__.py": ""})
    for name, section in SECTIONS.items():
        if name not in EDITED:
            write_files(tmp_path, read_files(section))
    return tmp_path


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A copy of the packages and their options, with the edits of the sections that have some."""
    for name in ("src", "conf", "experiments"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.json", "*.md"))
    for name in EDITED:
        write_files(tmp_path, read_files(SECTIONS[name]))
        for path, before, after in read_edits(SECTIONS[name]):
            text = (tmp_path / path).read_text()
            assert text.count(before) == 1, f"{path}: expected once:\n{before}"
            (tmp_path / path).write_text(text.replace(before, after))
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "A launcher" else name
        for name in SECTIONS
        if name not in EDITED
    ],
)
def test_an_example_runs_as_the_page_says(name: str, folder: Path) -> None:
    files, commands = read_files(SECTIONS[name]), read_commands(SECTIONS[name])
    assert files
    assert commands
    for environment, arguments in commands:
        run(arguments, environment, at=folder)
    runs = [file.parent for file in folder.glob("outputs/**/config.yaml")]
    assert len(runs) == (2 if name == "A launcher" else 1)
    for path in runs:
        assert json.loads((path / "run.json").read_text())["status"] == "completed"
        recorded = (path / "config.yaml").read_text()
        options = [text for file, text in files.items() if file.startswith("conf/") and "hydra" not in file]
        assert all(target in recorded for text in options for target in re.findall("_target_: .*", text))


def compute_error_cost(folder: Path, *, cost: float) -> float:
    """Compute the metric of the page from predictions.csv."""
    rows = [
        row for row in csv.DictReader((folder / "predictions.csv").read_text().splitlines()) if row["part"] == "val"
    ]
    labels = np.array([int(row["label"]) for row in rows])
    probabilities = [[float(value) for name, value in row.items() if name.startswith("probability_")] for row in rows]
    predicted, last = np.argmax(probabilities, axis=1), len(probabilities[0]) - 1
    return float(((predicted != labels) * np.where(labels == last, cost, 1)).mean())


def test_the_metric_of_the_page_has_its_value_for_two_classes_and_for_more(folder: Path) -> None:
    ((_, arguments),) = read_commands(SECTIONS["A metric"])
    classes = {"bright": 100, "gray": 60, "dark": 0}
    images = write_image_folder(folder / "images", classes=classes, parts={"train": 4, "val": 6}, levels=100)
    for more in ([], ["data=folder", f"data.root={images}", "data.image_size=8"]):
        outputs = folder / f"outputs_{len(more)}"
        run([*arguments, *more, f"output_dir={outputs}"], {}, at=folder)
        made = find_only_run(outputs)
        results = json.loads((made / "run.json").read_text())["results"]
        assert results["best"]["monitor"] == "val/error_cost"
        assert results["final"]["val/error_cost"] == pytest.approx(compute_error_cost(made, cost=3))


def test_a_command_is_added_by_the_edits_of_the_page(edited: Path) -> None:
    environment = {"PYTHONPATH": str(edited / "src")}
    run(["train", "trainer.max_epochs=2"], environment, at=edited)
    ((_, arguments),) = read_commands(SECTIONS["A command"])
    words = [str(find_only_run(edited / "outputs")) if word == "RUN" else word for word in arguments]
    assert run(words, environment, at=edited).stdout == "completed, 2 epochs\n"
    assert "Print how a run ended" in run(["--help"], environment, at=edited).stdout


def test_the_map_links_every_example() -> None:
    linked = set(re.findall(r"docs/how-to/extend\.md#([\w-]+)", MAP))
    assert linked == {name.lower().replace(" ", "-") for name in SECTIONS}


def test_the_picture_of_the_rooms_is_what_the_command_prints() -> None:
    shown = "".join(f"    {line}\n" for line in load_script("draw_rooms").draw_rooms().splitlines())
    assert shown in MAP, f"put this into CONTRIBUTING.md:\n{shown}"


@pytest.mark.parametrize(
    "page", ["CONTRIBUTING.md", *(str(file.relative_to(ROOT)) for file in (ROOT / "docs").rglob("*.md"))]
)
def test_files_that_a_page_names_are_there(page: str) -> None:
    text = (ROOT / page).read_text()
    named = re.findall(r"`([\w/]+/[\w/.]+\.(?:py|yaml))`", text)
    named += re.findall(r"(?<![\w/])((?:src|tests|benchmarks)/[\w/]+\.py)", text)
    for name in named:
        if not name.startswith(("mine/", "cli/NAME")) and f"# {name}\n" not in text:
            assert (ROOT / name).is_file() or (ROOT / "src/copycat" / name).is_file(), name
    rooms = re.findall(r"^      (\w+)/ ", text, re.MULTILINE)
    assert page != "CONTRIBUTING.md" or {f"{room}" for room in rooms} == {
        path.parent.name for path in (ROOT / "src" / "copycat").glob("*/__init__.py")
    }


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["loss=poly1", "loss.reduction=avg"], "loss.reduction: expected one of mean, sum; got 'avg'."),
        (["metrics=error_cost", "metrics.error_cost.cost=abc"], "metrics.error_cost.cost: expected float; got 'abc'."),
    ],
)
def test_wrong_values_of_the_page_s_classes_are_one_line(words: list[str], line: str, folder: Path) -> None:
    done = run_copycat("train", *words, "trainer.max_epochs=1", at=folder)
    assert (done.returncode, done.stderr.removeprefix("copycat: ").strip()) == (2, line)
