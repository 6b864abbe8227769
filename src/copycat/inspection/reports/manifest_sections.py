"""Make the sections of a run's page that come from its configuration and manifest: time, environment, data."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from copycat.config.compose import compose
from copycat.config.dotted_keys import flatten
from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.inspection.reports.contents import Section, Table


def make_configuration_section(config: Mapping[str, Any], text: str, request: Mapping[str, Any]) -> Section:
    """List the keys whose values differ from the defaults of this version, and fold config.yaml, the `text`."""
    values, words = flatten(config), printable(" ".join(request["overrides"])) or "none"
    request_rows = [["experiment", printable(request["experiment"]), ""], ["overrides", words, ""]]
    folded = {f"Full configuration ({len(values)} keys)": text}
    try:
        defaults = _read_defaults(Path.cwd())
    except UserError as error:  # of a user's own conf/
        return Section(title="Configuration", note=str(error), table=Table(request_rows), folded=folded)
    rows = [
        [key, printable(value), printable(defaults[key]) if key in defaults else "–"]
        for key, value in values.items()
        if key not in defaults or repr(value) != repr(defaults[key])
    ]
    note = "Keys that differ from the defaults." if rows else "All keys have their defaults."
    table = Table([*request_rows, *rows], ["", "this run", "default"])
    return Section(title="Configuration", note=note, table=table, folded=folded)


@lru_cache(4)
def _read_defaults(_: Path) -> dict[str, Any]:
    """Compose the defaults; cached by the working folder, whose conf/ may add to them, as Hydra takes half a second."""
    return flatten(compose(check_data=False).config)


def make_manifest_sections(manifest: Mapping[str, Any], epoch_images: Mapping[str, int]) -> Iterator[Section]:
    """Make the sections; the one of time only where it is known. `epoch_images` are those of an epoch, by part."""
    yield from _timing(manifest, epoch_images.get("train", 0))
    yield _environment(manifest)
    yield _data(manifest)


def _timing(manifest: Mapping[str, Any], images: int) -> Iterator[Section]:
    seconds, results = manifest["seconds"], manifest["results"]
    if not seconds or not results.get("epochs"):
        return
    epochs, steps = results["epochs"], results.get("steps") or 0
    rows = [
        ["total", f"{seconds:.1f} s"],
        ["per epoch", f"{1000 * seconds / epochs:.2f} ms"],
        ["optimizer steps", f"{steps}, {_rate(steps / seconds)}"],
        ["training images", _rate(images * epochs / seconds)],
    ]
    note = "From the first step to the last record; validation, checkpoints and records are in it."
    yield Section(title="Time", note=note, table=Table(rows))


def _rate(per_second: float) -> str:
    return f"{per_second:.3g} per second" if per_second < 100 else f"{per_second:.0f} per second"


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
