"""Tab completion, asked of a real bash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
eval "$(copycat -sc install=bash)"
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p copycat | sed -E 's/.*-F ([^ ]+).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete_line(line: str, *, at: Path) -> set[str]:
    """What bash offers after this line."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", ASK, "bash", line], capture_output=True, text=True, cwd=at, env={**os.environ, "PATH": path}
    )
    assert ran.stderr == ""
    return {word.strip() for word in ran.stdout.splitlines() if word.strip()}


pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


def test_a_command_is_completed(tmp_path: Path) -> None:
    assert complete_line("copycat tr", at=tmp_path) == {"train"}


def test_a_group_is_completed(tmp_path: Path) -> None:
    assert "optimizer=" in complete_line("copycat train opti", at=tmp_path)


def test_the_options_of_a_group_are_offered(tmp_path: Path) -> None:
    offered = complete_line("copycat train optimizer=", at=tmp_path)
    assert {"optimizer=adam", "optimizer=sgd", "optimizer=lbfgs"} <= offered
    assert all(word.startswith("optimizer=") for word in offered)


def test_a_key_in_a_group_is_completed(tmp_path: Path) -> None:
    assert complete_line("copycat train optimizer.l", at=tmp_path) == {"optimizer.lr="}


def test_experiments_are_offered_ones_own_too(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("# @package _global_\nseed: 1\n")
    assert {"experiment=mine", "experiment=lecture"} <= complete_line("copycat train experiment=", at=tmp_path)


def test_inspect_completes_as_train_does(tmp_path: Path) -> None:
    assert complete_line("copycat inspect model=sh", at=tmp_path) == {"model=shallow"}


def test_nothing_is_made_or_left_by_asking(tmp_path: Path) -> None:
    complete_line("copycat train mo", at=tmp_path)
    assert list(tmp_path.iterdir()) == []
