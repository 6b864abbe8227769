"""Call `copycat` many times in one process, to save start-up time: a line of arguments in, a line of results out.

With the argument `hydra`, Hydra is imported before, and keeps the files that it parses.
"""

import contextlib
import io
import json
import os
import sys
from importlib import import_module
from pathlib import Path

from copycat.cli import main

LARGE_PACKAGES = {"torch", "pytorch_lightning", "hydra"}


def call(arguments: list[str]) -> dict[str, object]:
    """Run one command; return its status, output, imported large packages and the files of the current folder."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            status = end.code
    return {
        "status": status,
        "out": out.getvalue(),
        "err": err.getvalue(),
        "imported": sorted(LARGE_PACKAGES & sys.modules.keys()),
        "left": sorted(os.listdir()),
    }


if sys.argv[1:] == ["hydra"]:
    sys.path.append(str(Path(__file__).parents[3]))
    import_module("tests.support.hydra_speed").shorten_compositions()
for line in sys.stdin:
    print(json.dumps(call(json.loads(line))), flush=True)
