"""An export's folder holds all of its files, or stays as it was."""

import sys
from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.deploy.arguments import open_completed
from copycat.deploy.export import export
from copycat.deploy.export_folder import check_export_folder
from copycat.deploy.use_scripts import SCRIPTS
from tests.support.runs import QUIET, train_tiny


def test_modules_that_lie_where_a_script_would_import_them_are_refused(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path / "runs").folder
    to = folder / "export" / "safetensors"
    (to / "__pycache__").mkdir(parents=True)
    (to / "__pycache__" / "decode.cpython-313.pyc").write_bytes(b"of somebody else")
    for name in ("json.py", "numpy/__init__.py", "torch.so"):
        module = to / name
        module.parent.mkdir(exist_ok=True)
        module.touch()
        with pytest.raises(
            UserError, match=r"^--to: expected a folder without modules, which use\.py would import; got "
        ):
            export(open_completed(folder), "safetensors", to=to)
        module.unlink()
        if module.parent != to:
            module.parent.rmdir()
    (to / "photo.jpg").touch()
    export(open_completed(folder), "safetensors", to=to)
    assert not (to / "__pycache__").exists()
    export(open_completed(folder), "safetensors", to=to)  # over an earlier one


@pytest.mark.parametrize("name", ["README.md", "use.py", "model.json", "model.safetensors"])
def test_files_that_no_export_wrote_are_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"classes": []}')
    with pytest.raises(UserError, match=rf"^--to: expected a folder without other files .* {name}, which no export wr"):
        check_export_folder(tmp_path, "safetensors")


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (
            "[None]\n",
            ".transpose(0, 2, 1)[None]\n",
            r"expected probabilities within 1e-05 of the run's; got a difference ",
        ),
        pytest.param(
            "import torch\n",
            "import absent\n",
            r"^--format torch: expected an export that its own script can use; No mod",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["turned images", "a missing package"],
)
def test_a_script_that_says_something_else_is_refused_and_nothing_changes(
    before: str, after: str, line: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train_tiny("trainer.max_epochs=20", *QUIET, data=tiny, at=tmp_path / "runs").folder
    to = tmp_path / "to"
    export(open_completed(folder), "torch", to=to)
    content = {path.name: path.read_bytes() for path in to.iterdir()}
    path, modules = list(sys.path), set(sys.modules)
    assert before in SCRIPTS["torch"]
    monkeypatch.setitem(SCRIPTS, "torch", SCRIPTS["torch"].replace(before, after))
    with pytest.raises(UserError, match=line):
        export(open_completed(folder), "torch", to=to)
    assert {path.name: path.read_bytes() for path in to.iterdir()} == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "to"]
    assert sys.path == path
    assert not {"decode", "use"} & (set(sys.modules) - modules)
