"""Show a deep check on one page, and in the terminal."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from copycat.config.suggestions import pluralize
from copycat.inspection.quality.deep_check import DeepCheck
from copycat.inspection.quality.findings import Finding, list_findings
from copycat.inspection.quality.thumbnails import make_image_lists
from copycat.inspection.reports.contents import Fact, Section, Table, Tone
from copycat.inspection.reports.page import Page

QUANTILES = {"smallest": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "largest": 1.0}


def make_quality_page(check: DeepCheck, *, title: str) -> Page:
    """Make the page: a fact for each kind of finding, the sizes, and the images that were found."""
    pool = check.pool
    counts = {part: pool.parts.count(part) for part in dict.fromkeys(pool.parts)}
    summary = f"{pluralize(len(pool), 'image')}: " + ", ".join(f"{count} in {part}" for part, count in counts.items())
    facts = [_make_fact(finding) for finding in list_findings(check)]
    found = [each.section for each in make_image_lists(check)]
    return Page(title, f"{summary}.", [*found, _make_size_section(check)], facts)


def _make_fact(finding: Finding) -> Fact:
    skipped = finding.was_skipped
    tone: Tone = "" if skipped else "good" if not finding.count else "bad" if "across" in finding.title else "warn"
    value = "–" if skipped else str(finding.count)
    return Fact(finding.title, value, "", "not looked for" if skipped else "", tone)


def _make_size_section(check: DeepCheck) -> Section:
    measures = check.measures
    stored = sum(original is not None for original in check.pool.originals)
    note = "Of the stored images." if stored else "Of the images as the source gives them."
    rows = [
        ["width", *_quantiles(measures.width, 0)],
        ["height", *_quantiles(measures.height, 0)],
        ["width / height", *_quantiles(measures.aspect, 2)],
        ["variance of the Laplacian", *_quantiles(measures.sharpness, 1)],
        ["entropy, bits", *_quantiles(measures.entropy, 1)],
    ]
    return Section(title="Sizes and measures", note=note, table=Table(rows, head=["", *QUANTILES]))


def _quantiles(values: NDArray[np.number], digits: int) -> list[str]:
    known = values[np.isfinite(values)]
    if not len(known):
        return ["–"] * len(QUANTILES)
    return [f"{value:.{digits}f}" for value in np.quantile(known, list(QUANTILES.values()), method="nearest")]


def list_lines(check: DeepCheck, *, most: int | None) -> Iterator[str]:
    """Yield the lines that the terminal shows; `most` of each list, None: all."""
    names = check.pool.images.names
    for finding in list_findings(check):
        skipped = finding.note.startswith("Not looked for")
        yield f"{finding.title.lower()}: " + (
            finding.note[0].lower() + finding.note[1:] if skipped else str(finding.count)
        )
        for group in finding.groups[:most]:
            details = [found.caption.replace("\n", "; ") for found in group]
            yield "  " + " ~ ".join(f"{names[f.index]} ({d})" for f, d in zip(group, details, strict=True))
        if most is not None and finding.count > most:
            yield f"  and {finding.count - most} more: see the page"
