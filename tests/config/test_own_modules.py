"""The user's own modules come from the working directory, and nobody else's do."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from copycat.config import own_modules
from copycat.config.errors import UserError
from copycat.config.own_modules import allow_own_modules
from copycat.config.targets import build_target, import_target

FILES = {
    "only_in_this_folder.py": "import beside_it\n\n\ndef made():\n    return beside_it.SEVEN\n",
    "beside_it.py": "SEVEN = 7\n",
    "installed_elsewhere.py": "",
    "optional_for_others.py": "raise RuntimeError('imported')\n",
}
NODE = {"_target_": "only_in_this_folder.made"}


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own_modules, "_ALLOWED", set())
    return tmp_path


def test_a_module_that_a_target_names_is_imported_with_what_it_imports() -> None:
    before = list(sys.path)
    allow_own_modules({"model": {"activation": NODE}})
    assert build_target("x", NODE) == 7
    assert sys.path == before
    assert find_spec("optional_for_others") is None


def test_a_module_that_no_configuration_of_ones_own_names_is_not_found() -> None:
    allow_own_modules({"model": {"_target_": "torch.nn.ReLU"}})
    with pytest.raises(UserError, match="No module named 'only_in_this_folder'"):
        import_target("x", "only_in_this_folder.made")


def test_a_module_that_cannot_be_imported_leaves_the_path_as_it_was() -> None:
    before = list(sys.path)
    allow_own_modules({"model": {"_target_": "optional_for_others.made"}})
    with pytest.raises(UserError, match=r"^x\._target_: expected .*; got 'optional_for_others\.made': RuntimeError: "):
        import_target("x", "optional_for_others.made")
    assert sys.path == before


def test_a_module_that_is_no_python_is_named_with_its_file_and_line(working_directory: Path) -> None:
    (working_directory / "optional_for_others.py").write_text("class Net:\n    def:\n")
    allow_own_modules({"model": {"_target_": "optional_for_others.Net"}})
    at = f"SyntaxError: {working_directory}/optional_for_others.py, line 2: invalid syntax."
    with pytest.raises(UserError, match=rf"^model\._target_: expected .*; got 'optional_for_others\.Net': {at}$"):
        import_target("model", "optional_for_others.Net")


def test_a_module_in_the_working_directory_hides_none(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("installed")
    (elsewhere / "installed_elsewhere.py").write_text("def made():\n    return 3\n")
    monkeypatch.syspath_prepend(elsewhere)
    allow_own_modules({"model": {"_target_": "installed_elsewhere.made"}})
    assert import_target("x", "installed_elsewhere.made")() == 3
