"""A real TensorBoard for tests, asked over HTTP."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from tensorboard.program import TensorBoard

STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """TensorBoard on a folder; gives its address."""
    program = TensorBoard()
    where = ["--logdir", str(folder), "--host", "127.0.0.1", "--port", "0", "--load_fast=false"]
    program.configure(argv=["tensorboard", *where])
    server = program._make_server()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.get_url()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(address: str, path: str, question: dict[str, Any] | None = None) -> Any:
    """What a plugin answers."""
    body = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(f"{address}data/plugin/{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def hparams(address: str) -> list[dict[str, Any]]:
    """What HParams shows of each run: name, hparams, status, and metrics by their names."""
    experiment = ask(address, "hparams/experiment", {"experimentName": ""})
    question = {
        "experimentName": "",
        "allowedStatuses": STATUSES,
        "colParams": [{"metric": metric["name"]} for metric in experiment["metricInfos"]],
        "startIndex": 0,
        "sliceSize": 99,
    }
    groups = ask(address, "hparams/session_groups", question)["sessionGroups"]
    return [
        {
            "name": group["name"],
            "hparams": group["hparams"],
            "status": group["sessions"][0]["status"],
            "metrics": {
                f"{found['name']['group']}/{found['name']['tag']}".lstrip("/"): found["value"]
                for found in group.get("metricValues", [])
            },
        }
        for group in groups
    ]
