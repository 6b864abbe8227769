"""Read durations as users write them: seconds, 90s, 1h30m, or days, hours, minutes and seconds as 00:01:30:00."""

import re

from copycat.config.rule_builders import Rule, is_number

UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
"""Seconds of each unit."""
MAX_SECONDS = 10 * 366 * UNITS["d"]
"""Ten years: longer ones overflow timers."""
_PARTS = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_COLONS = re.compile(r"(\d+):(\d\d?):(\d\d?):(\d\d?)")


def parse_duration(value: object) -> float:
    """Return a duration in seconds.

    Raises:
        ValueError: where it is none, is not above 0, or is longer than MAX_SECONDS.
    """
    if isinstance(value, str) and len(value) <= 100:
        match = _COLONS.fullmatch(value) or (_PARTS.fullmatch(value) if value else None)
        if match is not None:
            value = sum(
                float(part or 0) * seconds for part, seconds in zip(match.groups(), UNITS.values(), strict=True)
            )
    if isinstance(value, (int, float)) and is_number(value) and 0 < value <= MAX_SECONDS:
        return float(value)
    raise ValueError(f"expected {DURATION.words}; got {value!r:.80}")


def _is_duration(value: object) -> bool:
    try:
        parse_duration(value)
    except ValueError:
        return False
    return True


DURATION = Rule(
    words="a time above 0 as 90s, 10m, 1h30m or DAYS:HOURS:MINUTES:SECONDS, or a number of seconds",
    allows=_is_duration,
)


def format_duration(value: object) -> str:
    """Return a duration as it was written; a number with its unit."""
    return f"{value:g}s" if isinstance(value, (int, float)) else str(value)
