"""What differs between two runs is named, the likely cause first."""

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import copycat
from copycat.config.compose import compose
from copycat.data.datamodule import DataModule
from copycat.data.sources.folder import Folder
from copycat.provenance.diagnosis import RunInputs, diagnose


@pytest.fixture(scope="module")
def inputs(tiny: Path) -> RunInputs:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8"]
    return RunInputs.from_process(compose(words).config, DataModule(Folder(root=str(tiny), image_size=8)))


def change_inputs(before: RunInputs, change: Callable[[Any], object]) -> RunInputs:
    """The same with something changed in `provenance` or `config`."""
    after = replace(before, provenance=copy.deepcopy(before.provenance), config=copy.deepcopy(before.config))
    change(after)
    return after


def test_equal_inputs_and_other_paths_are_no_cause(inputs: RunInputs) -> None:
    moved = change_inputs(inputs, lambda e: e.config.update(output_dir="elsewhere"))
    moved.config["data"]["root"] = "/elsewhere"
    assert diagnose(inputs, moved) == []


def test_the_name_of_the_distribution_is_no_cause(inputs: RunInputs) -> None:
    def named(name: str) -> RunInputs:
        packages = {"numpy": "2.0", name: "0.1.0"}
        return change_inputs(inputs, lambda e: e.provenance["environment"].update(packages=packages))

    assert diagnose(named("copycat"), named("copycat-ml")) == []


CHANGES: dict[str, tuple[Callable[[Any], object], str, str]] = {
    "config": (lambda e: e.config["optimizer"].update(lr=0.5), "config", "optimizer.lr 0.001 → 0.5"),
    "null is a value": (lambda e: e.config["data"].update(fold=0), "config", "data.fold null → 0"),
    "package": (
        lambda e: e.provenance["environment"]["packages"].update(numpy="9.0", rich="1.0"),
        "packages",
        "numpy ",
    ),
    "python": (lambda e: e.provenance["environment"].update(python="3.99.0"), "python", "3.99.0"),
    "threads": (lambda e: e.provenance["environment"].update(threads=77, cpu="another"), "machine", "CPU threads "),
    "variable": (
        lambda e: e.provenance["environment"]["variables"].update(OMP_PROC_BIND="true"),
        "machine",
        "environment variables ",
    ),
    "accelerator": (
        lambda e: e.provenance["environment"]["accelerator"].update(found=["H100"]),
        "accelerator",
        "found=H100",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_difference_is_named_with_both_values(name: str, inputs: RunInputs) -> None:
    change, kind, line = CHANGES[name]
    (found,) = diagnose(inputs, change_inputs(inputs, change))
    assert found.kind == kind
    assert line in found.line


def test_another_compiler_is_a_cause_of_a_compiled_run(inputs: RunInputs) -> None:
    first, second = (
        change_inputs(inputs, lambda e, name=name: e.provenance["environment"].update(compiler=name))  # type: ignore[misc]
        for name in ("g++ 12", "g++ 13")
    )
    (found,) = diagnose(first, second)
    assert (found.kind, found.line) == ("machine", "C++ compiler g++ 12 → g++ 13")


@given(st.sets(st.sampled_from(sorted(CHANGES))))
def test_the_likeliest_cause_comes_first(names: set[str]) -> None:
    before = RunInputs(
        config={"optimizer": {"lr": 0.1}, "data": {"fold": None}},
        provenance={
            "data": {"all": "x"},
            "code": {},
            "environment": {
                "packages": {"numpy": "1"},
                "python": "3",
                "threads": 2,
                "cpu": "a",
                "variables": {},
                "accelerator": {"request": "cpu", "found": []},
            },
        },
        images=None,
        patch=None,
    )

    def change(e: Any) -> None:
        for name in names:
            CHANGES[name][0](e)

    order = ["data", "config", "code", "packages", "python", "machine", "accelerator"]
    found = [order.index(cause.kind) for cause in diagnose(before, change_inputs(before, change))]
    assert found == sorted(found)
    assert {order[place] for place in found} == {CHANGES[name][1] for name in names}


def test_other_data_is_the_first_cause_and_names_the_image(tiny: Path, tmp_path: Path, inputs: RunInputs) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    shutil.copy(other / "val" / "dog" / "1.png", other / "val" / "dog" / "2.png")
    config = copy.deepcopy(dict(inputs.config))
    config["seed"] = 9
    now = RunInputs.from_process(config, DataModule(Folder(root=str(other), image_size=8)))
    first, second = diagnose(inputs, now)
    assert (first.kind, first.line) == ("data", "1 image differs: val: val/dog/2.png")
    assert (second.kind, second.line) == ("config", "seed 123 → 9")


def test_a_new_class_is_named_before_the_images_whose_labels_it_moves(
    tiny: Path, tmp_path: Path, inputs: RunInputs
) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    (other / "train" / "ant").mkdir()
    shutil.copy(other / "train" / "dog" / "1.png", other / "train" / "ant" / "1.png")
    now = RunInputs.from_process(inputs.config, DataModule(Folder(root=str(other), image_size=8)))
    first, second = diagnose(inputs, now)
    assert (first.kind, first.line) == ("data", "class ant is new")
    assert second.line.startswith("25 images differ: ")


def test_a_run_of_the_first_schema_is_compared_as_far_as_it_goes(inputs: RunInputs) -> None:
    old = RunInputs(
        config=inputs.config,
        provenance={
            "code": {"version": "0.1.0", "digest": "0", "commit": "abc", "dirty": True},
            "environment": {"python": "3.11.0", "packages": {"torch": "2.0"}, "threads": 1},
            "data": {"all": "other"},
        },
        images=None,
        patch=None,
    )
    kinds = [cause.kind for cause in diagnose(old, inputs)]
    assert kinds[:4] == ["data", "code", "packages", "python"]


def test_a_changed_line_of_code_is_shown_as_a_diff(tmp_path: Path) -> None:
    """In a checkout of its own: commit, patch of then, and the files of now are three different things."""
    source = Path(copycat.__file__).parents[1]
    shutil.copytree(source / "copycat", tmp_path / "src" / "copycat", ignore=shutil.ignore_patterns("__pycache__"))
    losses = tmp_path / "src" / "copycat" / "models" / "losses.py"
    losses.write_text(losses.read_text() + "# committed\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init"], ["add", "."], ["commit", "-m", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    losses.write_text(losses.read_text() + "# not committed then\n")
    (tmp_path / "take.py").write_text(
        "import json, pathlib\n"
        "from copycat.provenance.code import code_record, uncommitted_patch\n"
        "pathlib.Path('then.json').write_text(json.dumps(code_record({})))\n"
        "pathlib.Path('then.patch').write_bytes(uncommitted_patch({}))\n"
    )
    (tmp_path / "hold.py").write_text(
        "import json, pathlib\n"
        "from copycat.provenance.code import code_record\n"
        "from copycat.provenance.code_changes import describe_changes\n"
        "then = json.loads(pathlib.Path('then.json').read_text())\n"
        "patch = pathlib.Path('then.patch').read_bytes()\n"
        "line, diff = describe_changes('copycat', then, code_record({}), patch=patch)\n"
        "print(line, *diff, sep='\\n')\n"
    )

    def here(script: str) -> str:
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, 'src'); exec(open({script!r}).read())"]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    here("take.py")
    losses.write_text(losses.read_text() + "# of now\n")
    said = here("hold.py").splitlines()
    assert said[0].startswith("copycat: 1 file changed: copycat/models/losses.py")
    assert "+# of now" in said
    assert not any(line.startswith(("+# not", "+# committed")) for line in said)


@pytest.mark.parametrize("commit", ["--upload-pack=x", "HEAD", "../..", "a" * 65, 7])
def test_untrusted_commits_and_file_names_are_passed_to_no_program(commit: object) -> None:
    from copycat.provenance.code_changes import describe_changes

    before = {"digest": "0", "commit": commit, "files": {"../../etc/passwd": "0", "/etc/passwd": "1"}}
    line, diff = describe_changes("copycat", before, {"digest": "1", "files": {"copycat/cli.py": "2"}}, patch=b"x")
    assert "3 files changed" in line
    assert diff == []
