"""Makes many calls of `copycat` in one process, to save start-up time: words in and what came of them out, as JSON."""

import contextlib
import io
import json
import os
import sys

from copycat.cli import main

FIRST = {"torch", "pytorch_lightning", "hydra"}


def call(words: list[str]) -> dict[str, object]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as end:
            status = end.code
    return {
        "status": status,
        "out": out.getvalue(),
        "err": err.getvalue(),
        "imported": sorted(FIRST & sys.modules.keys()),
        "left": sorted(os.listdir()),
    }


json.dump([call(words) for words in json.load(sys.stdin)], sys.stdout)
