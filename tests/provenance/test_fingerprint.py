"""What a run ran on: all that changes bits, and no secret."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import copycat
from copycat.provenance import code as code_module
from copycat.provenance import git
from copycat.provenance.code import code_record, uncommitted_patch
from copycat.provenance.fingerprint import environment_record, fingerprint, installed

SOURCE = Path(copycat.__file__).parents[1]


def in_git(at: Path, *words: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", str(at), *who, *words], check=True, capture_output=True)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a user's own, imported, in a repository with one commit."""
    package = tmp_path / "mine_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text("WIDTH = 3\n")
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    in_git(tmp_path, "init")
    in_git(tmp_path, "add", ".")
    in_git(tmp_path, "commit", "-m", "first")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine_of_a_test", raising=False)
    __import__("mine_of_a_test")
    code_module._package_record.cache_clear()
    code_module._status.cache_clear()
    return package


CONFIG = {"model": {"_target_": "mine_of_a_test.nets.Net", "layers": [{"_target_": "torch.nn.ReLU"}]}}


def test_a_package_of_one_s_own_is_known_by_its_files_and_its_commit(mine: Path) -> None:
    found = code_record(CONFIG)["packages"]["mine_of_a_test"]
    assert set(found["files"]) == {"mine_of_a_test/__init__.py", "mine_of_a_test/nets.py"}
    commit = subprocess.check_output(["git", "-C", str(mine), "rev-parse", "HEAD"], text=True).strip()
    assert (found["commit"], found["dirty"], found["untracked"]) == (commit, [], {})


def test_uncommitted_changes_are_named_and_kept_as_a_patch(mine: Path) -> None:
    (mine / "nets.py").write_text("WIDTH = 4\n")
    (mine / "new one.py").write_text("x = 1\n")
    found = code_record(CONFIG)["packages"]["mine_of_a_test"]
    assert found["dirty"] == ["mine_of_a_test/nets.py"]
    assert list(found["untracked"]) == ["mine_of_a_test/new one.py"]
    kept = uncommitted_patch(CONFIG)
    assert kept is not None
    assert b"-WIDTH = 3\n+WIDTH = 4" in kept
    other = mine.parent / "other"
    in_git(mine.parent, "worktree", "add", str(other), "HEAD")
    (other / "code.patch").write_bytes(kept[kept.index(b"diff --git a/mine_of_a_test") :])
    in_git(other, "apply", "code.patch")  # what was kept is enough to have the code again
    assert (other / "mine_of_a_test" / "nets.py").read_text() == "WIDTH = 4\n"


def test_a_large_patch_is_cut_at_the_end_of_a_file_and_says_so(mine: Path) -> None:
    for name in ("nets.py", "__init__.py"):
        (mine / name).write_text("".join(f"line_{number} = {number}\n" for number in range(40_000)))
    kept = uncommitted_patch(CONFIG)
    assert kept is not None
    assert len(kept) < 2**20 + 100
    assert kept.endswith(b"# cut: the whole is larger than 1 MiB\n")


def test_a_repository_without_a_commit_and_a_folder_without_one_are_no_mistake(tmp_path: Path) -> None:
    assert git.status(tmp_path) is None
    in_git(tmp_path, "init")
    (tmp_path / "a.py").write_text("")
    found = git.status(tmp_path)
    assert found is not None
    assert (found.commit, found.untracked) == (None, ("a.py",))


def test_without_git_the_files_are_known_all_the_same(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(mine))
    found = code_record(CONFIG)["packages"]["mine_of_a_test"]
    assert (found["commit"], found["dirty"], found["untracked"]) == (None, None, None)
    assert len(found["files"]) == 2


def test_a_repository_s_own_programs_are_not_run(tmp_path: Path) -> None:
    in_git(tmp_path, "init")
    (tmp_path / "a.py").write_text("1\n")
    in_git(tmp_path, "add", ".")
    in_git(tmp_path, "commit", "-m", "first")
    canary = tmp_path / "canary"
    in_git(tmp_path, "config", "core.fsmonitor", f"touch {canary}")
    in_git(tmp_path, "config", "diff.external", f"touch {canary}")
    (tmp_path / "a.py").write_text("2\n")
    assert git.status(tmp_path) is not None
    canary.unlink(missing_ok=True)
    git.status(tmp_path)
    git.run(tmp_path, "diff", "--no-ext-diff", "--no-textconv", "HEAD")
    assert not canary.exists()


def test_one_line_of_the_package_changes_its_digest(tmp_path: Path) -> None:
    shutil.copytree(SOURCE / "copycat", tmp_path / "copycat", ignore=shutil.ignore_patterns("__pycache__"))
    ask = "import sys; from copycat.provenance.code import code_record; print(code_record({})['digest'])"

    def digest() -> str:
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {ask}"]
        return subprocess.check_output(command, text=True, cwd=tmp_path).strip()

    same = digest()
    assert same == code_record({})["digest"]
    with (tmp_path / "copycat" / "models" / "losses.py").open("a") as file:
        file.write("# one line\n")
    assert digest() != same


def test_every_installed_package_is_there_with_its_version() -> None:
    from importlib.metadata import version

    found = installed()
    for name in ("torch", "numpy", "pytorch-lightning", "hydra-core", "pytest"):
        assert found[name] == version(name)


def test_the_compiler_is_recorded_of_compiled_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "compiler" not in environment_record({"trainer": {"compile": False}})
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'g++ 99.1 (mine)\nmore'\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert environment_record({"trainer": {"compile": True}})["compiler"] == "g++ 99.1 (mine)"
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    assert environment_record({"trainer": {"compile": True}})["compiler"] == ""


def test_a_package_that_shadows_another_is_the_one_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy-99.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed()["numpy"] == "99.0"


def test_of_the_environment_s_variables_only_those_that_change_numbers_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_SCHEDULE", "static")
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    for name in ("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MY_OMP_SECRET", "PYTHONPATH"):
        monkeypatch.setenv(name, "not to be seen")
    found = fingerprint({})
    assert found["environment"]["variables"]["OMP_SCHEDULE"] == "static"
    assert found["environment"]["variables"]["PYTHONHASHSEED"] == "0"
    assert "not to be seen" not in repr(found)


def test_threads_are_taken_anew_each_time() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert environment_record({})["threads"] == 1
        torch.set_num_threads(2)
        assert environment_record({})["threads"] == 2
    finally:
        torch.set_num_threads(before)
