"""Describe the findings of a deep check: one list for each kind of finding, with a caption for each image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from copycat.inspection.quality.deep_check import SKIPPED, DeepCheck


@dataclass(frozen=True)
class FoundImage:
    """Describe an image that was found."""

    index: int
    caption: str
    """Class, and what was found."""


@dataclass(frozen=True)
class Finding:
    """Hold the images of one kind, in groups: near-duplicates belong together, others stand alone."""

    kind: str
    """A word of `--exclude`."""
    title: str
    note: str
    groups: Sequence[Sequence[FoundImage]]

    @property
    def was_skipped(self) -> bool:
        """Return whether there was no way to look for it; the note says why."""
        return self.note.startswith(SKIPPED)

    @property
    def count(self) -> int:
        """Return the number of groups of near-duplicates, or of images."""
        return len(self.groups)


def list_findings(check: DeepCheck) -> list[Finding]:
    """Return all kinds of findings, those that found nothing included."""
    measures, notes, labels, distances = check.measures, check.notes, check.labels, check.distances

    def list_alone(kind: str, title: str, note: str, indices: Sequence[int], describe: Callable[[int], str]) -> Finding:
        found = [[FoundImage(index, f"{_place(check, index)}\n{describe(index)}")] for index in indices]
        return Finding(kind, title, note, found)

    def describe_label(index: int) -> str:
        assert labels is not None
        return f"predicted {check.classes[int(labels.predicted[index])]}, own class {labels.quality[index]:.2f}"

    def describe_size(index: int) -> str:
        return f"{measures.width[index]} × {measures.height[index]}"

    def describe_distance(index: int) -> str:
        assert distances is not None
        return f"distance {distances[index]:.2f}"

    enlarged = f"Enlarged to {check.image_size} pixels a side: data.image_size."
    blurred = "A much smaller variance of the Laplacian than that of the other images."
    elongated = "One side is more than twice the other: data.fit=crop loses more than half of the image."
    return [
        Finding("duplicates", "Near-duplicates across parts", notes["duplicates"], _group(check, check.across)),
        Finding("duplicates", "Near-duplicates within a part", notes["duplicates"], _group(check, check.within)),
        list_alone("labels", "Suspect labels", notes["labels"], labels.suspects if labels else (), describe_label),
        list_alone("outliers", "Outliers", notes["outliers"], check.outliers, describe_distance),
        list_alone(
            "blank",
            "Blank images",
            "Gray values with hardly any variation.",
            check.blank,
            lambda index: f"entropy {measures.entropy[index]:.1f} bits",
        ),
        list_alone(
            "blurred",
            "Blurred images",
            blurred,
            check.blurred,
            lambda index: f"variance {measures.sharpness[index]:.1f}",
        ),
        list_alone("small", "Small images", enlarged, check.small, describe_size),
        list_alone("elongated", "Elongated images", elongated, check.elongated, describe_size),
    ]


def _place(check: DeepCheck, index: int) -> str:
    return f"{check.label(index)}, {check.pool.parts[index]}"


def _group(check: DeepCheck, groups: Sequence[Sequence[int]]) -> list[list[FoundImage]]:
    matches = check.duplicates.matches
    similar = {index: f"\n{match.kind}, {match.similarity:.2f}" for index, match in matches.items()}
    return [[FoundImage(index, _place(check, index) + similar.get(index, "")) for index in group] for group in groups]
