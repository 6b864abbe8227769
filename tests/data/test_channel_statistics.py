"""Means and deviations of channels are those of all pixels, whatever holds the images."""

import pytest
import torch

from copycat.data import channel_statistics, split
from copycat.data.channel_statistics import measure_channels
from copycat.data.split import Subset
from tests.support.parts import make_part


@pytest.mark.parametrize("lazy", [False, True])
def test_the_statistics_are_those_of_the_floats_that_a_network_is_given(lazy: bool) -> None:
    images = torch.randint(0, 256, (7, 3, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    found = measure_channels(Subset(images, range(7)) if lazy else images)
    channels = (images.double() / 255).transpose(0, 1).flatten(1)
    assert found["mean"] == pytest.approx(channels.mean(1).tolist(), rel=1e-12)
    assert found["std"] == pytest.approx(channels.std(1, correction=0).tolist(), rel=1e-12)


def test_a_channel_of_one_value_is_not_divided_by_zero() -> None:
    images = torch.full((3, 1, 2, 2), 51, dtype=torch.uint8)
    assert measure_channels(images) == {"mean": [0.2], "std": [1.0]}


def test_runs_that_share_their_images_measure_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    part = make_part(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.arange(2))
    first = part.channel_statistics
    monkeypatch.setattr(split, "measure_channels", pytest.fail)
    assert part.channel_statistics is first


def test_of_a_large_set_images_from_its_whole_length_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_statistics, "MAX_MEASURED_IMAGES", 4)
    images = torch.arange(8, dtype=torch.uint8).view(8, 1, 1, 1) * 10
    assert measure_channels(images) == measure_channels(images[::2])
