"""The calibration error against plain counting."""

import pytest
import torch

from copycat.inspection.calibration_error import calibration_error


def test_the_calibration_error_is_the_mean_distance_over_bins() -> None:
    positive = torch.tensor([0.05, 0.05, 0.95, 0.95, 0.55])
    label = torch.tensor([0, 1, 1, 1, 0])
    # bins of a fifteenth: {0.05, 0.05}, {0.95, 0.95} and {0.55}
    expected = 2 / 5 * abs(0.5 - 0.05) + 2 / 5 * abs(1 - 0.95) + 1 / 5 * abs(0 - 0.55)
    assert calibration_error(torch.stack([1 - positive, positive], 1), label) == pytest.approx(expected, abs=1e-6)
