"""Every block of the tutorial runs and prints what the page shows; commands make its tables and figures."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.support.commands import run_copycat
from tests.support.shown_commands import check_printed, load_script

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "tutorial"
NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?|\d+%")
WITHOUT_DATA = ("neuron", "loss", "modules", "activations", "questions")
LOSSES = re.compile(r"Epoch (\d+), Loss (\d\.\d{6})")


tutorial = load_script("write_tutorial")


@pytest.fixture
def _session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in a folder of one's own, from which modules are imported, as in a session there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in tutorial.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)
    sys.modules.pop("heavy_ball", None)


def run_words(words: list[str]) -> str:
    done = run_copycat(*words, at=Path.cwd())
    assert done.returncode in (0, 2), done.stderr
    return done.stdout if done.returncode == 0 else done.stderr


def check_page(name: str) -> None:
    blocks = list(tutorial.run_page((PAGES / f"{name}.md").read_text(), run=run_words))
    assert blocks
    for block in blocks:
        tolerance = 0.03 if block.source.startswith("$ copycat") else 0.002  # training amplifies rounding
        check_printed(block.printed, block.shown, where=block.source, numbers=NUMBER, tolerance=tolerance)


@pytest.mark.slow
@pytest.mark.usefixtures("_session")
@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_a_page_prints_what_it_shows(name: str) -> None:
    check_page(name)


@pytest.mark.slow
@pytest.mark.usefixtures("_session", "cats_folder")
@pytest.mark.parametrize("name", [name for name in tutorial.ORDER if name not in WITHOUT_DATA])
def test_a_page_on_the_cats_prints_what_it_shows(name: str) -> None:
    check_page(name)


def test_the_losses_of_the_lecture_are_those_that_its_experiment_must_give() -> None:
    (block,) = re.findall(
        r"^\$ copycat train experiment=lecture\n(.*?)```", (PAGES / "training.md").read_text(), re.M | re.S
    )
    assert dict(LOSSES.findall(block)) == json.loads((ROOT / "experiments" / "lecture.json").read_text())["losses"]


def test_every_optimizer_is_explained() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (PAGES / "optimizers.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(file.stem for file in (ROOT / "conf" / "optimizer").glob("*.yaml"))


def test_the_table_of_answers_is_the_recorded_one() -> None:
    answers = load_script("answer_questions")
    (shown,) = answers.TABLE.findall((PAGES / "questions.md").read_text())
    assert shown == answers.make_table()


@pytest.mark.parametrize("experiment", ["cnn_augmented", "transfer"])
def test_accuracies_on_the_50_are_the_recorded_ones(experiment: str) -> None:
    recorded = json.loads((ROOT / "experiments" / f"{experiment}.folds.json").read_text())["each"]["val"]["accuracy"]
    page = " ".join((PAGES / "questions.md").read_text().split())
    (sentence,) = re.findall(rf"`experiment={experiment}` (?:is right )?for [^)]*\)", page)
    assert f"{recorded['mean']:.3f}" in sentence
    assert "{:.2f} to {:.2f}".format(*recorded["interval"]) in sentence


def test_the_index_lists_every_page() -> None:
    index = (PAGES / "index.md").read_text()
    (tree,) = re.findall(r"```\{toctree\}\n:hidden:\n\n(.*?)```", index, re.DOTALL)
    assert tuple(tree.split()) == tutorial.ORDER
    assert re.findall(r"^\| \[[^]]+\]\((\w+)\.md\)", index, re.MULTILINE) == list(tutorial.ORDER)
    assert {page.stem for page in PAGES.glob("*.md")} == {"index", *tutorial.ORDER}


@pytest.mark.slow
def test_every_figure_is_small_has_a_description_and_is_drawn_by_the_command(tmp_path: Path) -> None:
    figures = load_script("tutorial_figures")
    linked = [
        image
        for name in tutorial.ORDER
        for image in re.findall(r"!\[(.*?)\]\((.*?)\)", (PAGES / f"{name}.md").read_text())
    ]
    assert {Path(path).stem for _, path in linked} == set(figures.FIGURES)
    assert all(len(description) > 30 for description, _ in linked)
    assert all((PAGES / path).stat().st_size <= 40 * 1024 for _, path in linked)
    with (
        Image.open(figures.draw("questions", tmp_path)) as now,
        Image.open(figures.IMAGES / "questions.png") as committed,
    ):
        assert now.size == committed.size
