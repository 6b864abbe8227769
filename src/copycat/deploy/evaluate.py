"""The metrics of a run's final weights on other data than it was validated on."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.data.part import Part
from copycat.deploy.predictor import Predictor, opened_predictor
from copycat.inspection.intervals import bootstrap
from copycat.models.metrics import scores_of
from copycat.runs.build import build_data
from copycat.runs.figures import figure, wilson
from copycat.runs.opened import open_run
from copycat.runs.printing import given, print_table, wide_console, write_csv, write_json

BATCH = 256
"""Images in memory at once."""
Row = dict[str, Any]


def evaluate(run: Path, overrides: Sequence[str]) -> list[Row]:
    """Each metric of each part, with its 95 % interval: of accuracy Wilson's, of others by bootstrap.

    Args:
        overrides: which data, as `data=folder`; none for the run's own. All parts that it comes in are evaluated, as
            they are, whatever split it was trained with.

    Raises:
        UserError: where the run cannot predict, the data cannot be read, or its classes are others than the run's.
    """
    with opened_predictor(run) as predictor:
        parts = _parts(run, overrides, predictor)
        return [row for name, (part, labels) in parts.items() for row in _rows(name, part, labels, predictor)]


def _parts(run: Path, overrides: Sequence[str], predictor: Predictor) -> Mapping[str, tuple[Part, Tensor]]:
    """Parts, and the run's labels of their images."""
    opened = open_run(run)
    if not overrides:
        data = build_data(opened.config["data"], seed=opened.config["seed"])
        return {name: (part, part.labels) for name, part in data.parts.items()}
    node = dict(compose(overrides, data_too=False).config["data"])
    for key, ours in (("image_size", predictor.size), ("fit", predictor.fit)):
        if key in node:  # images as the run was given its own
            node[key] = ours
    source = build_data(node, seed=0).source
    parts = source.load()
    unknown = [name for name in source.classes if name not in predictor.classes]
    if unknown:
        raise UserError(
            f"{overrides[0]}: expected the run's classes, {', '.join(predictor.classes)}; got {', '.join(unknown)}."
            " Name the sub-folders so."
        )
    place = torch.tensor([predictor.classes.index(name) for name in source.classes])
    return {name if len(parts) > 1 else "all": (part, place[part.labels]) for name, part in parts.items()}


def _rows(name: str, part: Part, labels: Tensor, predictor: Predictor) -> list[Row]:
    said = torch.cat([predictor(images) for images in _batches(part, predictor)]).float()
    sure = bootstrap(said.double().numpy(), labels.numpy())
    rows = []
    for metric, value in scores_of(said, labels).items():
        low, high = wilson(value, len(part)) if metric == "accuracy" else sure.get(metric, (0.0, 1.0))
        rows.append({"part": name, "images": len(part), "metric": metric, "value": value, "low": low, "high": high})
    return rows


def _batches(part: Part, predictor: Predictor) -> Iterator[Tensor]:
    shape = tuple(part.images.shape[1:])
    if shape != (3, predictor.size, predictor.size):
        raise UserError(
            f"data: expected images of 3×{predictor.size}×{predictor.size}, as the run's;"
            f" got {'×'.join(map(str, shape))}."
        )
    for start in range(0, len(part), BATCH):
        yield torch.stack([part.images[place] for place in range(start, min(start + BATCH, len(part)))])


def print_evaluation(run: Path, overrides: Sequence[str], *, form: Literal["table", "csv", "json"]) -> None:
    """Print them to standard output."""
    rows = evaluate(run, overrides)
    if form == "json":
        write_json({"run": str(run), "metrics": rows})
    elif form == "csv":
        write_csv(rows)
    else:
        shown = [
            {**row, "value": figure(row["value"]), "95 %": f"{row['low']:.2f} to {row['high']:.2f}"} for row in rows
        ]
        print_table(wide_console(), [(t, given(t)) for t in ("part", "images", "metric", "value", "95 %")], shown)
