"""What `import copycat` offers is this list, lazily, and typed."""

import subprocess
import sys
from pathlib import Path

import pytest

import copycat

ROOT = Path(__file__).parents[1]
PUBLIC = {
    "Request",
    "Run",
    "Sweep",
    "Table",
    "UserError",
    "compose",
    "load_run",
    "load_sweep",
    "read_runs",
    "sweep",
    "train",
}
"""A change of these breaks programs of users."""


def test_the_public_names_are_these() -> None:
    assert set(copycat.__all__) == PUBLIC
    assert {name for name in dir(copycat) if not name.startswith("_")} == PUBLIC
    assert all(getattr(copycat, name).__doc__ for name in PUBLIC)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        copycat.trian  # noqa: B018


def test_the_import_is_lazy() -> None:
    program = "import sys, copycat; print(*({'torch', 'hydra', 'numpy', 'PIL', 'rich'} & sys.modules.keys()), end='')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""


@pytest.mark.slow
def test_another_project_type_checks_against_it(tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(
        "from pathlib import Path\n"
        "import copycat\n"
        "run: copycat.Run = copycat.train(['model=shallow'], seed=1)\n"
        "loss: list[float | None] = run.metrics['train/loss']\n"
        "names: list[str] = run.predict([Path('a.png'), Path('b.png')]).names\n"
        "weights = run.model('cpu').state_dict()\n"
        "lr: str = copycat.load_sweep('sweep').best().config['optimizer']['lr']\n"
        "rows = copycat.read_runs().to_pandas()\n"
        "run.plot(['loss']).savefig('loss.png')\n"
        "best: copycat.Run = copycat.sweep(['seed=1,2'], model='deep').best()\n"
        "copycat.train(7)\n"
    )
    # what torch and others import is not followed, as in `make check`, whose cache this shares
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml")]
    paths = ["--cache-dir", str(ROOT / ".mypy_cache"), "project.py"]
    done = subprocess.run(command + paths, capture_output=True, text=True, cwd=tmp_path)
    (error, _) = done.stdout.splitlines()
    assert error.startswith('project.py:11: error: Argument 1 to "train" has incompatible type "int"')
