"""Figures: which way each gets better, and how it is shown."""

import re
from typing import Any, Literal

from copycat.config import hints

Direction = Literal["minimize", "maximize"]
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move a terminal's cursor, change its colours or turn text around."""


def natural(name: str) -> Direction:
    """Losses, sizes and times are to be small; the other metrics large."""
    return "minimize" if "loss" in name or name in ("parameters", "seconds") else "maximize"


def sign(direction: Direction) -> int:
    """By which a figure is multiplied so that the least is the best."""
    return 1 if direction == "minimize" else -1


def figure(value: float | None) -> str:
    """A measured value, short."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}"
    return f"{value:.4g}" if abs(value) < 1 else f"{value:.6g}"


def text(value: Any) -> str:
    """A value as it was given, on one line, and safe to print."""
    return _UNSHOWN.sub("�", value if isinstance(value, str) else hints.shown(value))
