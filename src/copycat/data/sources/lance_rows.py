"""Load images from a data set of Lance, by index."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.data.sources.converted import pixel_settings
from copycat.data.sources.parquet_rows import find_image_column, plain_columns, stated_classes, to_texts
from copycat.data.sources.row_source import RowSource
from copycat.data.sources.row_table import Rows, Shard

METADATA = b"copycat"
"""Key of the schema's metadata in which a conversion states classes and settings."""
RECORDED = ("name", "content", "pixels")
"""Columns of a conversion that are no cells of labels, parts or groups."""


@dataclass(frozen=True)
class LanceReader:
    """Read encoded images by row; each process opens the data set for itself."""

    root: str
    version: int
    column: str
    state: "_Opened" = field(default_factory=lambda: _Opened(), repr=False, compare=False)

    @property
    def start_method(self) -> str:
        """Return `spawn`: the threads of Lance don't survive a fork."""
        return "spawn"

    def read(self, row: int) -> bytes:
        """Return the encoded image of a row."""
        cell = self.state.open(self.root, self.version).take([row], columns=[self.column])[self.column][0].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        return content or b""  # an empty cell is an empty file


class _Opened:
    """Hold the data set that one process has open."""

    def __init__(self) -> None:
        self.data: Any = None
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[type["_Opened"], tuple[()]]:
        return _Opened, ()

    def open(self, root: str, version: int) -> Any:
        with self.lock:
            if self.data is None:
                import lance

                self.data = lance.dataset(root, version=version)
            return self.data


class LanceRows(RowSource):
    """Load the rows of a data set of Lance in its order, at its present version."""

    option, package = "lance", "lance"

    def read_rows(self) -> Rows:
        """Return the rows."""
        import lance

        try:
            data = lance.dataset(self.root)
            image = find_image_column(data.schema, self.image_column, self.root)
            plain = plain_columns(data.schema)
            table = data.to_table(columns=plain)
            files = [(str(each.fragment_id), each.count_rows()) for each in data.get_fragments()]
        except UserError:
            raise
        except Exception as error:  # Lance raises errors of many types
            raise UserError(f"data.root: Lance can't read {self.root}: {first_line(error)}.") from error
        classes = stated_classes(data.schema)
        columns = {column: to_texts(table[column], classes.get(column)) for column in plain}
        stated = _read_metadata(data.schema)
        if stated and stated["rows"] != len(table):
            raise UserError(
                f"data.root: expected {stated['rows']} rows in {self.root}; got {len(table)}, as its conversion was"
                " interrupted. Type copycat data convert again."
            )
        recorded = {name: columns.pop(name) for name in RECORDED} if stated else {}
        same = stated.get("settings") == pixel_settings(self.size, self.fit, self.max_pixels)
        return Rows(
            address=self.root,
            columns=columns,
            names=recorded.get("name") or [""] * len(table),
            shards=[Shard(name=name, rows=rows, stamp=(data.version, 0)) for name, rows in files],
            reader=LanceReader(self.root, data.version, image),
            classes={"label": stated["classes"]} if stated else classes,
            separator=stated.get("separator"),
            contents=recorded.get("content"),
            pixels=recorded.get("pixels") if same else None,
            synthetic=bool(stated.get("synthetic")),
        )


def _read_metadata(schema: Any) -> Mapping[str, Any]:
    """Return the metadata of a conversion; nothing where another program wrote the data set."""
    if METADATA not in (schema.metadata or {}):
        return {}
    stated = json.loads(schema.metadata[METADATA])
    if (
        not isinstance(stated, dict)
        or not isinstance(stated.get("classes"), list)
        or not isinstance(stated.get("rows"), int)
    ):
        raise UserError("data.root: the schema's metadata is damaged. Type copycat data convert again.")
    return stated
