"""Make the sections of a run's page that come from its manifest: time, environment, data."""

from collections.abc import Iterator, Mapping
from typing import Any

from copycat.config.printable import printable
from copycat.inspection.reports.contents import Section, Table


def make_manifest_sections(manifest: Mapping[str, Any]) -> Iterator[Section]:
    """Make the sections; the one of time only where it is known."""
    yield from _timing(manifest)
    yield _environment(manifest)
    yield _data(manifest)


def _timing(manifest: Mapping[str, Any]) -> Iterator[Section]:
    seconds, results = manifest["seconds"], manifest["results"]
    if not seconds or not results.get("epochs"):
        return
    epochs, steps = results["epochs"], results.get("steps") or 0
    images = manifest["data"]["images"].get("train", 0)
    rows = [
        ["total", f"{seconds:.1f} s"],
        ["per epoch", f"{1000 * seconds / epochs:.2f} ms"],
        ["optimizer steps", f"{steps}, {steps / seconds:.0f} per second"],
        ["training images", f"{images * epochs / seconds:.0f} per second"],
    ]
    note = "From the first step to the last record; validation, checkpoints and records are in it."
    yield Section(title="Time", note=note, table=Table(rows))


def _environment(manifest: Mapping[str, Any]) -> Section:
    code, environment = manifest["provenance"]["code"], manifest["provenance"]["environment"]
    packages = environment.get("packages") or {}
    values = {
        "code": code.get("digest"),
        "commit": code.get("commit"),
        "changed since": ", ".join(code.get("dirty") or {}) or None,
        "Copycat": code.get("version"),
        "Python": environment.get("python"),
        **{name: packages.get(name) for name in ("torch", "pytorch-lightning", "numpy")},
        "platform": environment.get("platform"),
        "processor": environment.get("cpu"),
        "threads": environment.get("threads"),
        "accelerator": _accelerator(environment.get("accelerator")),
        "precision": environment.get("precision"),
        "data": (manifest["provenance"].get("data") or {}).get("all"),
        "weights": manifest["results"].get("weights_digest"),
    }
    rows = [[name, printable(value)] for name, value in values.items() if value not in (None, "")]
    return Section(title="Environment", note="The whole fingerprint is in run.json.", table=Table(rows))


def _data(manifest: Mapping[str, Any]) -> Section:
    data = manifest["data"]
    rows = [["classes", ", ".join(data["classes"])]]
    rows += [[f"{part} images", str(count)] for part, count in data["images"].items()]
    return Section(title="Data", note="; ".join(data["warnings"]), table=Table(rows))


def _accelerator(recorded: Any) -> str | None:
    """Name the devices that were found, and what was asked for."""
    if not isinstance(recorded, Mapping):
        return recorded and str(recorded)
    found = recorded.get("found") or ["none"]
    return f"{', '.join(map(str, found))} (trainer.accelerator={recorded.get('asked')})"
