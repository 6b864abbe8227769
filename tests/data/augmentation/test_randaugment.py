"""RandAugment: each image gets the operations that its own chances say, as strong as asked for."""

import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torch.nn import functional as F

from copycat.config.errors import UserError
from copycat.data.augmentation.operations import OPERATIONS
from copycat.data.augmentation.randaugment import RandAugment
from copycat.data.augmentation.transforms import Augmentation


def make_photos(*, channels: int = 3, count: int = 6) -> Tensor:
    """Smooth ones, of whole bytes."""
    coarse = torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    fine = F.interpolate(coarse, size=(16, 16), mode="bilinear")
    return (fine * 255).round() / 255


def draw_chances(count: int, draws: int) -> Tensor:
    return torch.rand(count, draws, generator=torch.Generator().manual_seed(1))


def single_operation(name: str, *, magnitude: float) -> RandAugment:
    return RandAugment(count=1, magnitude=magnitude, operations=[name])


def by_pillow(name: str, image: Image.Image, strength: float) -> Image.Image:
    factor = 1 + 0.9 * strength
    if name == "posterize":
        return ImageOps.posterize(image, 8 - round(4 * abs(strength)))
    if name == "solarize":
        return ImageOps.solarize(image, round(256 * (1 - abs(strength))))
    if name in ("autocontrast", "equalize"):
        return ImageOps.autocontrast(image) if name == "autocontrast" else ImageOps.equalize(image)
    kinds = {"color": ImageEnhance.Color, "contrast": ImageEnhance.Contrast, "brightness": ImageEnhance.Brightness}
    return {**kinds, "sharpness": ImageEnhance.Sharpness}[name](image).enhance(factor)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_gets_the_same_bits_in_whatever_batch(channels: int) -> None:
    images = make_photos(channels=channels, count=20)
    before = images.clone()
    augmentation = RandAugment(count=3, magnitude=20, operations=list(OPERATIONS))
    assert isinstance(augmentation, Augmentation)
    uniform = draw_chances(20, augmentation.draws)
    whole = augmentation(images, uniform)
    assert torch.equal(images, before)
    assert whole.shape == images.shape
    assert whole.min() >= 0
    assert whole.max() <= 1
    for place in range(20):
        assert torch.equal(augmentation(images[place : place + 1], uniform[place : place + 1])[0], whole[place])


@pytest.mark.parametrize(
    "name", ["posterize", "solarize", "autocontrast", "equalize", "color", "contrast", "brightness", "sharpness"]
)
def test_colors_change_as_pillow_changes_them(name: str) -> None:
    images, uniform = make_photos(), torch.tensor([[0.0, 0.0], [0.0, 0.9]]).repeat(3, 1)
    made = single_operation(name, magnitude=15)(images, uniform)
    for place, sign in enumerate([-1, 1] * 3):
        pixels = (images[place] * 255).byte().permute(1, 2, 0).numpy()
        expected = torch.tensor(list(by_pillow(name, Image.fromarray(pixels), 0.5 * sign).tobytes()))
        near = (made[place].permute(1, 2, 0).flatten() * 255 - expected).abs()
        assert near.mean() < 1.5
        assert (near > 4).float().mean() < 0.01


def test_moves_go_either_way_as_far_as_asked_for() -> None:
    images, both = make_photos(count=2), torch.tensor([[0.0, 0.9], [0.0, 0.1]])
    right = single_operation("translate_x", magnitude=30 * 0.25 / 0.45)(images, both)
    assert torch.allclose(right[0, ..., 4:], images[0, ..., :-4], atol=1e-5)
    assert torch.allclose(right[1, ..., :-4], images[1, ..., 4:], atol=1e-5)
    down = single_operation("translate_y", magnitude=30 * 0.25 / 0.45)(images, both)
    assert torch.allclose(down[0, :, 4:], images[0, :, :-4], atol=1e-5)
    for name in ("rotate", "shear_x", "shear_y"):
        made = single_operation(name, magnitude=30)(images, both)
        assert (made - images).abs().mean() > 0.02
        assert torch.allclose(single_operation(name, magnitude=0)(images, both), images, atol=1e-5)
    # a level line in the middle stays where it is under a level shear
    line = torch.zeros(1, 3, 17, 17)
    line[:, :, 8] = 1
    assert torch.allclose(single_operation("shear_x", magnitude=30)(line, both[:1]), line, atol=1e-4)


def test_every_operation_is_drawn_as_often_and_each_draw_is_done() -> None:
    images = torch.full((30_000, 1, 2, 2), 0.25)
    twice = RandAugment(count=2, magnitude=30, operations=["identity", "brightness", "solarize"])
    found = twice(images, draw_chances(30_000, 4))[:, 0, 0, 0]
    # untouched or twice negative; darker; and that twice
    counts = {round(float(value), 4): int((found == value).sum()) for value in torch.unique(found)}
    assert counts[0.25] == pytest.approx(30_000 * 2 / 9, rel=0.1)
    assert counts[0.025] == pytest.approx(30_000 / 9, rel=0.1)
    assert counts[0.0025] == pytest.approx(30_000 / 36, rel=0.15)


def test_a_channel_that_is_all_alike_keeps_its_color() -> None:
    flat = torch.full((1, 3, 4, 4), 0.3)
    assert torch.equal(single_operation("autocontrast", magnitude=9)(flat, draw_chances(1, 2)), flat)


def test_an_operation_that_is_not_there_is_named() -> None:
    line = r"augmentation\.operations: expected some of .*; got 'rotat'\. Did you mean rotate\?"
    with pytest.raises(UserError, match=line):
        RandAugment(count=2, magnitude=9, operations=["color", "rotat"])
