"""Read event files, serve a real TensorBoard, and query its plugins over HTTP."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]


def load_events(folder: Path) -> EventAccumulator:
    """Load every event of a folder's event files by TensorBoard's own reader."""
    kinds = ("scalars", "images", "tensors", "histograms")
    return EventAccumulator(str(folder), size_guidance=dict.fromkeys(kinds, 0)).Reload()


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the scalars of a folder's event files: (step, value) of each point, by tag."""
    events = load_events(folder)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@contextmanager
def serve_tensorboard(folder: Path, *, plugins: list[Any] | None = None) -> Iterator[str]:
    """Serve TensorBoard for a folder that is complete, and is read before the first answer; yield its address.

    Its plugins are TensorBoard's own unless given.
    """
    from tensorboard.program import TensorBoard  # the whole server, which each collection would import

    program = TensorBoard(plugins)
    where = ["--logdir", str(folder), "--host", "127.0.0.1", "--port", "0", "--load_fast=false"]
    where += ["--reload_task=blocking", "--reload_interval=0"]
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


def query_plugin(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Query a plugin by GET, or by POST where there is a body; return the decoded JSON."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}data/plugin/{path}", content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def read_hparams(address: str) -> list[dict[str, Any]]:
    """Read each run of the HParams plugin: name, hparams, status, and metrics by name."""
    experiment = query_plugin(address, "hparams/experiment", {"experimentName": ""})
    question = {
        "experimentName": "",
        "allowedStatuses": STATUSES,
        "colParams": [{"metric": metric["name"]} for metric in experiment["metricInfos"]],
        "startIndex": 0,
        "sliceSize": 99,
    }
    groups = query_plugin(address, "hparams/session_groups", question)["sessionGroups"]
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
