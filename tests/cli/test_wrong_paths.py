"""A wrong path is named at once: before torch, Lightning, Optuna or TensorBoard is imported, which takes seconds."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import call_copycat
from tests.support.runs import QUIET, train_tiny

HEAVY = ("torch", "pytorch_lightning", "optuna", "tensorboard", "onnx")
WRONG: dict[str, tuple[str, ...]] = {
    "nosuch: expected": (
        "report nosuch",
        "report RUN nosuch",
        "predict nosuch IMAGE",
        "evaluate nosuch",
        "export nosuch --format onnx",
        "rerun nosuch",
        "resume nosuch",
        "app nosuch",
        "app RUN nosuch",
        "board nosuch",
        "runs nosuch",
        "compare RUN nosuch",
        "plots nosuch",
        "inspect --weights nosuch",
    ),
    "nosuch.png: expected an image": ("predict RUN nosuch.png",),
    "data.root: expected a folder; nosuch is not there": (
        "evaluate RUN data=folder data.root=nosuch",
        "evaluate RUN data.root=nosuch",
    ),
    "--data: expected a folder; nosuch is not there. Type --data FOLDER": ("rerun RUN --data nosuch",),
    "--to: expected a folder to write to; got IMAGE: Not a directory": ("export RUN --format torch --to IMAGE",),
    "--to: expected a file to write to; got IMAGE/x.png, whose folder cannot be written to": (
        "report RUN --to IMAGE/x.png",
        "inspect --lr-find --to IMAGE/x.png",
    ),
    "--sheet: expected another file than the images to classify; got IMAGE. Name": (
        "predict RUN IMAGE --sheet IMAGE",
        "predict RUN PHOTOS --sheet IMAGE",
    ),
    "--sheet: expected a new file, or an earlier contact sheet of Copycat to replace; got IMAGE, another file. Name": (
        "predict RUN PHOTOS/train --sheet IMAGE",
    ),
    "--sheet: expected a file that ends in .png; got sheet.jpg": ("predict RUN IMAGE --sheet sheet.jpg",),
    "--to: expected a new file, or an earlier page of Copycat to replace; got IMAGE": (
        "report RUN --to IMAGE",
        "data check --deep --to IMAGE",
    ),
    "--to: expected a new file, or an earlier LaTeX table of Copycat to replace; got IMAGE": (
        "report RUN --latex --to IMAGE",
    ),
    "--to: expected a new file, or an earlier plot of Copycat to replace; got IMAGE": (
        "inspect --schedule --to IMAGE",
    ),
    "--csv: expected a new file, or an earlier table of images of Copycat to replace; got IMAGE": (
        "data check --deep --csv IMAGE",
    ),
    "--to: expected a folder without other files of these names; got FULL with README.md": (
        "export RUN --format torch --to FULL",
    ),
    "--sheet: expected a file to write to; got IMAGE/x.png, whose folder cannot": (
        "predict RUN IMAGE --sheet IMAGE/x.png",
    ),
    "inspect: expected KEY=VALUE; got the folder of a run, RUN. Type copycat inspect --weights RUN": (
        "inspect RUN",
        "inspect --schedule RUN",
    ),
    "expected KEY=VALUE, as in optimizer.lr=1e-3; got 'PHOTOS'. For a folder of images, type data=folder data.root=P": (
        "data check PHOTOS",
        "inspect PHOTOS",
        "train PHOTOS",
    ),
    "--png: expected a folder to write to; got IMAGE/x: Not a directory": ("report RUN --png IMAGE/x",),
    "FOLDER: expected a folder to write to; got IMAGE/x: Not a directory": ("data draw IMAGE/x",),
}
PROGRAM = """
import json, sys
from copycat.cli.dispatch import run_command
from copycat.config.errors import UserError
calls, heavy = json.loads(sys.argv[1])
for words in calls:
    try:
        run_command(words)
        print(json.dumps(["", []]))
    except UserError as error:
        print(json.dumps([str(error), sorted(set(heavy) & sys.modules.keys())]))
"""
"""Makes all calls in one new interpreter, and prints each one's error and the heavy packages that it has by then."""


@pytest.fixture(scope="module")
def answers(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, list[str]]]:
    at = tmp_path_factory.mktemp("wrong")
    run = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=at).folder
    names = {
        "RUN": str(run),
        "IMAGE": str(tiny / "val" / "cat" / "0.png"),
        "PHOTOS": str(tiny),
        "FULL": str(at / "full"),
    }
    (at / "full").mkdir()
    (at / "full" / "README.md").touch()
    calls = [call for wrong in WRONG.values() for call in wrong]
    words = [re.sub("|".join(names), lambda name: names[name[0]], call).split() for call in calls]
    command = [sys.executable, "-c", PROGRAM, json.dumps([words, HEAVY])]
    done = subprocess.run(command, cwd=at, check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    def shorten(text: str) -> str:
        for name, path in names.items():
            text = text.replace(path, name)
        return text

    return {call: (shorten(text), heavy) for call, (text, heavy) in zip(calls, lines, strict=True)}


@pytest.mark.parametrize(("expected", "call"), [(text, call) for text, calls in WRONG.items() for call in calls])
def test_a_wrong_path_is_named_before_heavy_packages_are_imported(
    expected: str, call: str, answers: dict[str, tuple[str, list[str]]]
) -> None:
    text, heavy = answers[call]
    assert text.startswith(expected)
    assert heavy == []


def test_outputs_replace_earlier_ones_of_their_kind(tmp_path: Path, tiny: Path) -> None:
    run = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path).folder
    images = ("--deep", "data=folder", f"data.root={tiny}")
    for words in (
        ("report", run),
        ("report", run, "--latex", "--to", tmp_path / "report.tex"),
        ("report", run, "--markdown", "--to", tmp_path / "report.md"),
        ("inspect", "--schedule", "--to", tmp_path / "rates.png"),
        ("data", "check", *images, "--to", tmp_path / "page.html", "--csv", tmp_path / "table.csv"),
    ):
        for _ in range(2):
            call_copycat(*words)
