"""What it costs to take a run's fingerprint, beside the first call of git: python benchmarks/fingerprint.py

Times both in fresh processes, once PyTorch is imported, and prints medians in milliseconds; exits 1 where the
fingerprint takes 150 ms or more beyond that call.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

LIMIT = 150
ONCE = """
import json, sys, time
from pathlib import Path
import copycat
from copycat.provenance import git
from copycat.provenance.code import patch
from copycat.provenance.fingerprint import fingerprint
began = time.perf_counter()
git.run(Path(copycat.__file__).parent, "rev-parse", "HEAD")
called = time.perf_counter()
fingerprint({}), patch({})
print(json.dumps([1000 * (called - began), 1000 * (time.perf_counter() - called)]))
"""


def main() -> None:
    times = [
        json.loads(subprocess.check_output([sys.executable, "-c", ONCE], cwd=Path(__file__).parent)) for _ in range(9)
    ]
    first, whole = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"first call of git {first:.0f} ms; fingerprint and patch {whole:.0f} ms after it, of at most {LIMIT}")
    sys.exit(whole >= LIMIT)


if __name__ == "__main__":
    main()
