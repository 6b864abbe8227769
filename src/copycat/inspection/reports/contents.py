"""The contents of a page: facts, tables, images, charts, galleries."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from copycat.config.printable import printable

COLORS = 6
"""Number of series colors in style.css."""
DASHES = 4
"""Number of line styles in charts.js."""


Tone = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True)
class Fact:
    """Hold one finding of a page's head, and the phrase by which the verdict states it."""

    title: str
    value: str
    phrase: str
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Cell:
    """Hold a table cell with a second line, and a shade from 1 to 10."""

    text: str
    detail: str = ""
    shade: int = 0
    tone: Literal["right", "wrong"] = "right"
    """Color of the shade."""

    def __str__(self) -> str:
        """Return the text."""
        return self.text


@dataclass(frozen=True)
class Table:
    """Hold a table whose first cell of each row is the row's title."""

    rows: Sequence[Sequence[str | Cell]]
    head: Sequence[str] = ()
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Describe an axis of a chart."""

    label: str
    log: bool = False
    labels: Sequence[str] = ()
    """Names of the categories that the positions 0, 1, … stand for."""
    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class SeriesStyle:
    """Hold the attributes that distinguish a series."""

    color: int
    """From 1 to COLORS; 0 is the color of what stands behind."""
    dash: int
    """From 0, which is solid."""

    @classmethod
    def of(cls, index: int) -> "SeriesStyle":
        """Return the style of one of several series."""
        return cls(index % COLORS + 1, index // COLORS % DASHES)


FIRST, BEHIND = SeriesStyle(1, 0), SeriesStyle(0, 0)


@dataclass(frozen=True, kw_only=True)
class Series:
    """Hold points of a chart, on the chart's x or on their own."""

    label: str
    y: Sequence[float | None]
    x: Sequence[float] | None = None
    names: Sequence[str] | None = None
    """Name of each point."""
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    """Ends of each point's interval."""
    draw: Literal["line", "step", "step-before", "points", "bars"] = "line"
    """A step has its y from its x on, or up to it."""
    style: SeriesStyle = FIRST
    size: int = 8
    """Diameter of a marker, in pixels."""
    hollow: bool = False
    """Whether markers are not filled."""
    markers: bool = False
    """Whether a line has a marker at each point."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Hold an interactive chart; either it has x, or each of its series."""

    title: str
    x_axis: Axis
    y_axis: Axis
    series: Sequence[Series]
    x: Sequence[float] | None = None
    marks: Sequence[float] = ()
    """Positions of dashed vertical lines."""


@dataclass(frozen=True, kw_only=True)
class ParallelAxis:
    """Hold an axis of parallel coordinates."""

    label: str
    values: Sequence[float | None]
    """A number or the index of a category per line; None if the line has no value."""
    scale: Literal["linear", "log", "category"]
    limits: tuple[float, float]
    """Limits of the axis, on the scale where it is linear."""
    labels: Sequence[str] = ()
    """Names of the categories."""


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """Hold parallel coordinates, the best line first."""

    names: Sequence[str]
    """Name of each line."""
    axes: Sequence[ParallelAxis]


def to_json(content: Any) -> Any:
    """Return the input of the scripts: printable texts, numbers of six digits, and fields that are set."""
    if isinstance(content, str):
        return printable(content)
    if isinstance(content, float):
        if not math.isfinite(content):  # JSON has neither nan nor infinity
            return None
        return content if content == round(content) else float(f"{content:.6g}")
    if is_dataclass(content):
        values = {each.name: getattr(content, each.name) for each in fields(content)}
        return {name: to_json(value) for name, value in values.items() if value is not None and value != ()}
    return [to_json(one) for one in content] if isinstance(content, Sequence) else content


@dataclass(frozen=True)
class PageImage:
    """Hold a plot and its caption, which is also its alternative text, and what replaces it where scripts run."""

    png: bytes
    """Empty where a table beside it has all that it shows."""
    caption: str
    name: str = ""
    """Name of its PNG file without suffix; a plot without a name is not written to a file."""
    charts: Sequence[Chart] = ()
    synced: bool = False
    """Whether its charts share their x axis."""
    parallel: Parallel | None = None

    @property
    def data(self) -> Mapping[str, Any] | None:
        """Return the input of its script; None for a plain image."""
        charts = {"charts": to_json(self.charts), "sync": self.synced} if self.charts else None
        return charts if self.parallel is None else dict(to_json(self.parallel))


@dataclass(frozen=True)
class GalleryImage:
    """Hold an image with its prediction."""

    jpeg: bytes
    name: str
    label: str
    predicted: str
    probability: float
    """Of the predicted class."""

    @property
    def caption(self) -> str:
        """Return the prediction, beside the true class where it is wrong."""
        verdict = f"predicted {self.predicted} ({self.probability:.2f})"
        return f"{verdict}, correct" if self.label == self.predicted else f"{verdict}, true {self.label}"


@dataclass(frozen=True)
class Thumbnail:
    """Hold a small image with its name and a caption, which may have several lines."""

    jpeg: bytes
    name: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """Hold the contents below a heading, in this order."""

    title: str
    note: str = ""
    table: Table | None = None
    images: Sequence[PageImage] = ()
    gallery: Sequence[GalleryImage] = ()
    thumbnails: Sequence[Sequence[Thumbnail]] = ()
    """Groups of images that belong together; images that stand alone are groups of one."""
    code: str = ""
    folded: Mapping[str, str] = field(default_factory=dict)
    """Code that is seen on demand, by its title."""
