"""Checksummed files of arrays, written by several processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from copycat.data.synthetic.checksummed_npz import read_checksummed, write_checksummed


def test_two_processes_may_write_the_cache_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from copycat.data.synthetic.checksummed_npz import read_checksummed, write_checksummed\n"
        "path = Path(sys.argv[1]); arrays = read_checksummed(path, key='k'); print('ready', flush=True)\n"
        "for _ in range(60): write_checksummed(path, arrays, key='k')"
    )
    path, arrays = tmp_path / "set.npz", {"images": np.arange(100_000)}
    write_checksummed(path, arrays, key="k")
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for _ in range(60):
            write_checksummed(path, arrays, key="k")
            read = read_checksummed(path, key="k")
            assert read is not None
            assert np.array_equal(read["images"], arrays["images"])
    assert other.returncode == 0
    assert list(tmp_path.iterdir()) == [path], "a temporary file was left behind"
