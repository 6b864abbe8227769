"""The first layer as images."""

import numpy as np
import torch
from torch import nn

from copycat.inspection.reports.weight_images import draw_weights
from copycat.models.networks import Normalized


def test_a_unit_of_a_linear_layer_has_the_image_s_own_shape() -> None:
    weight = torch.zeros(2, 3 * 4 * 5)
    weight[0, 0], weight[0, 20] = 0.5, -0.25  # red speaks for it, and half as much green against it
    first, second = draw_weights({"layers.0.weight": weight, "layers.0.bias": torch.ones(2)}, image_shape=(3, 4, 5))
    assert first.shape == (4, 5, 3)
    assert first[0, 0].tolist() == [255, 64, 128]
    assert first[1, 1].tolist() == [128, 128, 128]
    assert np.unique(second).tolist() == [128]


def test_a_convolution_gives_its_filters() -> None:
    weight = torch.arange(16 * 3 * 3 * 3).float().view(16, 3, 3, 3)
    assert [image.shape for image in draw_weights({"weight": weight}, image_shape=(3, 64, 64))] == [(3, 3, 3)] * 16


def test_other_first_layers_have_none() -> None:
    assert draw_weights({"bag": torch.ones(512, 1)}, image_shape=(3, 64, 64)) == []
    assert draw_weights({}, image_shape=(3, 64, 64)) == []


def test_a_normalization_in_front_has_no_units() -> None:
    layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    network = Normalized(layers, mean=[0.5] * 3, std=[0.2] * 3)
    images = draw_weights(network.state_dict(), image_shape=(3, 2, 2))
    assert len(images) == 5
