"""Strong augmentation: each image gets what its own chances say."""

from typing import Any

import pytest
import torch
from torch import Tensor

from copycat.data.augmentation.strong import Strong
from copycat.data.augmentation.transforms import Augmentation

NOTHING: dict[str, float] = {
    **dict.fromkeys(("flip", "rotate", "scale", "move", "brightness", "contrast", "saturation", "hue", "erase"), 0.0)
}


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def uniform() -> Tensor:
    return torch.rand(6, Strong.draws, generator=torch.Generator().manual_seed(1))


def enable_only(**what: Any) -> Strong:
    return Strong(**{**NOTHING, **what})


def test_it_is_an_augmentation_that_leaves_its_input_and_all_within_0_and_1(images: Tensor, uniform: Tensor) -> None:
    strong = Strong()
    assert isinstance(strong, Augmentation)
    before = images.clone()
    made = strong(images, uniform)
    assert torch.equal(images, before)
    assert made.shape == images.shape
    assert made.dtype == images.dtype
    assert made.min() >= 0
    assert made.max() <= 1
    assert not torch.allclose(made, images, atol=0.05)


def test_nothing_asked_for_changes_nothing(images: Tensor, uniform: Tensor) -> None:
    assert torch.allclose(enable_only()(images, uniform), images, atol=1e-5)


def test_the_share_that_is_mirrored_is_mirrored(images: Tensor, uniform: Tensor) -> None:
    made = enable_only(flip=0.5)(images, uniform)
    for place, mirrored in enumerate((uniform[:, 0] < 0.5).tolist()):
        expected = images[place].flip(-1) if mirrored else images[place]
        assert torch.allclose(made[place], expected, atol=1e-5)


def test_a_quarter_turn_turns_every_pixel(images: Tensor, uniform: Tensor) -> None:
    uniform[:, 1] = 1.0
    made = enable_only(rotate=90.0)(images, uniform)
    either = [torch.rot90(images, times, (2, 3)) for times in (1, 3)]
    assert any(torch.allclose(made, turned, atol=1e-4) for turned in either)


def test_a_move_by_pixels_moves_them(images: Tensor, uniform: Tensor) -> None:
    uniform[:, 3], uniform[:, 4] = 1.0, 0.5  # to the right by all of it, and not down
    made = enable_only(move=0.25)(images, uniform)
    assert torch.allclose(made[..., 4:], images[..., :-4], atol=1e-5)


def test_brightness_is_a_factor(images: Tensor, uniform: Tensor) -> None:
    factor = 1 + 0.3 * (2 * uniform[:, 5] - 1)
    made = enable_only(brightness=0.3)(images, uniform)
    assert torch.allclose(made, (images * factor[:, None, None, None]).clamp(0, 1), atol=1e-5)


def test_without_saturation_an_image_is_gray(images: Tensor, uniform: Tensor) -> None:
    uniform[:, 7] = 0.0
    made = enable_only(saturation=1.0)(images, uniform)
    assert made.std(1).max() < 1e-5


def test_a_part_is_hidden_of_the_share_asked_for(images: Tensor, uniform: Tensor) -> None:
    uniform[:, 10] = 1.0
    made = enable_only(erase=0.5, erase_size=0.5)(images, uniform)
    hidden = (made == 0.5).all(1)
    for place, erased in enumerate((uniform[:, 9] < 0.5).tolist()):
        assert int(hidden[place].sum()) in ((49, 56, 64, 72, 81) if erased else (0,))
        assert torch.allclose(made[place][:, ~hidden[place]], images[place][:, ~hidden[place]], atol=1e-5)


def test_an_image_gets_the_same_bits_in_whatever_batch(images: Tensor, uniform: Tensor) -> None:
    strong = Strong()
    whole = strong(images, uniform)
    for place in range(len(images)):
        assert torch.equal(strong(images[place : place + 1], uniform[place : place + 1])[0], whole[place])


def test_gray_images_keep_their_one_channel(uniform: Tensor) -> None:
    assert Strong()(torch.rand(6, 1, 16, 16), uniform).shape == (6, 1, 16, 16)
