"""The configuration of a run: what differs from the defaults, and the whole."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from copycat.config.compose import compose
from copycat.config.dotted_keys import flatten
from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.inspection.reports.contents import Section, Table


def make_configuration_section(config: Mapping[str, Any], text: str, request: Mapping[str, Any]) -> Section:
    """List the keys whose values differ from the defaults of this version, and fold the whole configuration.

    Args:
        config: with present names.
        text: config.yaml.
        request: of the manifest.
    """
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
