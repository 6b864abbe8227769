"""Compute the expected calibration error of predicted probabilities."""

import torch
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

BINS = 15


def is_of_class(label: torch.Tensor, index: int) -> torch.Tensor:
    """Return whether images have a class, [N] bool; labels are [N], or [N, classes] of several classes an image."""
    return label[:, index] == 1 if label.ndim == 2 else label == index


def calibration_error(probability: torch.Tensor, label: torch.Tensor) -> float:
    """Compute the expected calibration error over 15 bins of equal width.

    It is the mean distance between confidence and accuracy, weighted by the number of images in each bin. Of two
    classes, the probability of class 1 is compared with its frequency; of several classes an image, that of each class.

    Shapes: [N, classes], and [N] or [N, classes].

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, eq. 3; as torchmetrics computes it.
    """
    if label.ndim == 2:
        return float(binary_calibration_error(probability.reshape(-1), label.reshape(-1), n_bins=BINS))
    if probability.shape[1] == 2:
        return float(binary_calibration_error(probability[:, 1].contiguous(), label, n_bins=BINS))
    return float(multiclass_calibration_error(probability, label, probability.shape[1], n_bins=BINS))
