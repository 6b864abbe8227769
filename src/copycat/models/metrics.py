"""Compute metrics from probabilities and labels."""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from copycat.models.auroc import mean_auroc, mean_aurocs
from copycat.models.score_counts import (
    COUNTED_SCORES,
    class_scores,
    count_classes,
    count_predictions,
    scores_from_counts,
)

SCORE_NAMES = (*COUNTED_SCORES, "auroc")
ALL_CLASS_SCORES = ("balanced_accuracy", "auroc")  # scores that are defined only where each class has an image
Row = dict[str, float]
MAX_LISTED_CLASSES = 20
EPOCHS_PER_CHUNK = 512
"""Number of epochs whose scores are computed together: more would exceed the processor's cache."""


def compute_scores(
    probability: Tensor, label: Tensor, *, classes: int, counts: Tensor | None = None
) -> dict[str, list[float]]:
    """Compute accuracy, balanced accuracy, precision, recall, F1 and AUROC of each epoch.

    With two classes, class 1 is positive, and predicted where its probability is above 0.5. With more classes, scores
    are macro averages. Balanced accuracy is the mean of the classes' recalls. A ratio with denominator 0 is 0, but
    balanced accuracy and AUROC are nan where a class has no image: 0 would read as a bad score. An epoch's scores have
    the same bits for any number of epochs: float64 values for float64 probabilities, else float32 values.

    Where images may have several classes, each class is present or not, predicted above 0.5, and scores are means over
    the classes: accuracy is that of an image and a class (1 - Hamming loss).

    Args:
        probability: [epochs, N] of class 1 for two classes, else [epochs, N, classes].
        label: [epochs, N] int64; [epochs, N, classes] of 0 and 1 where images may have several classes.
        classes: number of classes.
        counts: of these predictions, as `count_predictions` returns them; None to count here.

    Returns:
        Name of a score: its value for each epoch.
    """
    several = label.ndim == 3
    chunk_size = max(1, EPOCHS_PER_CHUNK // (classes if several else 1))
    chunks = list(zip(torch.split(probability, chunk_size), torch.split(label, chunk_size), strict=True))
    if counts is None:
        counts = concatenate([count_predictions(*chunk, classes=classes) for chunk in chunks])
    scores = scores_from_counts(counts, dtype=recorded_dtype(probability), several=several)
    if several or classes == 2:
        areas = [area for chunk in chunks for area in mean_aurocs(*chunk)]
    else:
        defined = [value == value for value in scores["balanced_accuracy"]]
        pairs = zip(defined, probability, label, strict=True)
        areas = [mean_auroc(some, true) if has_all else torch.nan for has_all, some, true in pairs]
    return scores | {"auroc": areas}


def recorded_dtype(probability: Tensor) -> torch.dtype:
    """Return the precision in which losses and scores of these probabilities are recorded."""
    return torch.promote_types(probability.dtype, torch.float32)


def score_images(probability: Tensor, label: Tensor, *, present_only: bool = False) -> Row:
    """Compute the scores of one set of images, without those that are undefined.

    Args:
        probability: [N, classes].
        label: [N] int64, or [N, classes] of 0 and 1.
        present_only: for images that lack a class: average over the classes that they have. For two classes return the
            accuracy alone, since the other scores would not depend on the predictions or have denominator 0.
    """
    classes = probability.shape[1]
    if label.ndim == 2:
        columns = compute_scores(probability.float()[None], label[None], classes=classes)
        return {name: value for name, (value,) in columns.items() if value == value}
    if present_only:
        counts = count_classes(probability.argmax(1), label, classes=classes)
        scores = class_scores(counts, dtype=torch.float32, present_only=True)
        kept = ("accuracy",) if classes == 2 else ("accuracy", "precision", "recall", "f1")
        return {name: scores[name] for name in kept}
    probability = (probability[:, 1] if classes == 2 else probability).float()
    columns = compute_scores(probability[None], label[None], classes=classes)
    return {name: value for name, (value,) in columns.items() if value == value}


def list_quantities(metrics: Iterable[str]) -> list[str]:
    """Return the quantities to list of metrics such as `val/loss`: loss, scores, and others that the metrics have.

    Values for each class are left out where there are more than `MAX_LISTED_CLASSES`.
    """
    found = dict.fromkeys(name.partition("/")[2] for name in metrics if not name.endswith("/loss_mean"))
    classes = _count_classes(found)
    listed = (name for name in found if "/" not in name or classes[name.partition("/")[0]] <= MAX_LISTED_CLASSES)
    return [*dict.fromkeys(["loss", *SCORE_NAMES, *listed])]


def describe_unlisted(metrics: Iterable[str]) -> str:
    """Return a line on the values for each class that `list_quantities` leaves out; empty where there are none."""
    count = max(_count_classes({name.partition("/")[2] for name in metrics}).values(), default=0)
    return f"values of {count} classes are left out; run.json has them" if count > MAX_LISTED_CLASSES else ""


def _count_classes(quantities: Iterable[str]) -> Counter[str]:
    """Count the values for each class of quantities such as `recall/cat`, by what they measure."""
    return Counter(name.partition("/")[0] for name in quantities if "/" in name)


def to_scalar_tensor(value: float) -> Tensor:
    """Convert a metric to a tensor for Lightning: float32, or float64 where float32 would lose digits."""
    short = torch.tensor(value, dtype=torch.float32)
    return short if short.item() == value else torch.tensor(value, dtype=torch.float64)


def concatenate(pieces: list[Tensor] | tuple[Tensor, ...], *, dim: int = 0) -> Tensor:
    """Concatenate tensors, without a copy of a single one."""
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)


def metric_columns(stages: Iterable[str], *, several_batches: bool, added: Sequence[str] = ()) -> list[str]:
    """Return the names of the metrics that an epoch may have, `train/loss` first; `added` are those beside scores."""
    names = [f"{stage}/{name}" for stage in stages for name in ("loss", *SCORE_NAMES, *added)]
    return [names[0], "train/loss_mean", *names[1:]] if several_batches else names
