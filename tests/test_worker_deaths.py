"""Of a worker of pytest-xdist that dies it is said how."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("dies", "how"),
    [
        ("os.kill(os.getpid(), 15)", "ended by SIGTERM, after "),
        ("os._exit(3)", "ended by exit status 3, after "),
        ("faulthandler._sigsegv()", "ended by SIGSEGV, after "),
    ],
)
def test_a_worker_that_dies_is_told_with_its_signal_or_status(dies: str, how: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(f"import faulthandler, os\n\ndef test_it() -> None:\n    {dies}\n")
    words = ("-n", "1", "--max-worker-restart=0", "-p", "xdist", "-p", "tests.support.worker_deaths", "test_it.py")
    program = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import pytest; sys.exit(pytest.main())"
    command, alone = [sys.executable, "-c", program, *words], os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("[gw0] process ")]
    assert how in line
    assert " MiB left, and killed " in line
    assert ("Fatal Python error" in done.stderr) == ("sigsegv" in dies)
