"""Check that an augmentation is a function of the image and its random numbers, before a run is trained with it."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.data.augmentation.pipeline import Pipeline, restored_generators, seed_generators
from copycat.data.augmentation.transforms import Augmentation, UniformNumbers

EPOCHS = 8  # augmented copies of each image that are compared: a transform may act on few images
MARGIN = 0.5  # how far values may leave [0, 1], as noise and interpolation do
CPU = torch.device("cpu")


def check_exactness(augmentation: Augmentation, image: Tensor, *, key: str = "augmentation") -> None:
    """Check an augmentation on images, a black and a white one included, which it must leave as they are.

    Args:
        augmentation: changes images one by one.
        image: some training images, float [B, C, H, W] in [0, 1].
        key: of the augmentation in the configuration.

    Raises:
        UserError: where it fails, changes shape, type or range, depends on the other images of a batch or on generators
            that it does not get its numbers from, or keeps a state.
    """
    image = torch.cat([image, torch.zeros_like(image[:1]), torch.ones_like(image[:1])])
    draw, index = UniformNumbers(length=len(image), draws=augmentation.draws, seed=0), torch.arange(len(image))
    before = image.clone()

    def results(augment: Callable[[Tensor, Tensor], Tensor], *, backwards: bool) -> Iterator[tuple[int, Tensor]]:
        for epoch in reversed(range(EPOCHS)) if backwards else range(EPOCHS):
            with restored_generators(CPU):
                seed_generators(int(backwards), CPU)  # what the generators hold at a step must not matter
                yield epoch, augment(image, draw(epoch, index))

    def repeats(augment: Callable[[Tensor, Tensor], Tensor]) -> bool:
        first, again = dict(results(augment, backwards=False)), dict(results(augment, backwards=True))
        return all(torch.equal(first[epoch], again[epoch]) for epoch in first)

    with restored_generators(CPU):
        uniform = draw(0, index)
        _check_result(_call(augmentation, image, uniform, key), image, key)
        if not torch.equal(image, before):
            raise UserError(f"{key}: expected one that leaves its input as it is; got one that writes to it.")
        if not repeats(augmentation):
            raise UserError(_inexact(augmentation, repeats, key))
        alone = [augmentation(image[place : place + 1], uniform[place : place + 1]) for place in index.tolist()]
        if not torch.allclose(torch.cat(alone), augmentation(image, uniform), atol=1e-3):  # rounding may differ
            raise UserError(
                f"{key}: expected an augmentation that changes each image by itself; got one whose results"
                " depend on the other images of the batch. Compute with each image alone."
            )


def _call(augmentation: Augmentation, image: Tensor, uniform: Tensor, key: str) -> Tensor:
    try:
        return augmentation(image, uniform)
    except Exception as error:  # third-party transforms raise any type of error
        shape = "×".join(map(str, image.shape[1:]))
        raise UserError(f"{key}: expected transforms of images of {shape}; got: {first_line(error)}.") from error


def _check_result(result: object, image: Tensor, key: str) -> None:
    """Check the form of a result."""
    if not isinstance(result, Tensor):
        raise UserError(f"{key}: expected images as a tensor; got a {type(result).__name__}.")
    if result.shape != image.shape or result.dtype != image.dtype:
        expected, got = (f"{'×'.join(map(str, t.shape[1:]))} {str(t.dtype)[6:]}" for t in (image, result))
        raise UserError(f"{key}: expected images of {expected}, as they came; got {got}.")
    low, high = (float(value) for value in result.detach().aminmax())
    if not (low >= -MARGIN and high <= 1 + MARGIN):
        raise UserError(
            f"{key}: expected images in [0, 1]; got values from {low:.3g} to {high:.3g}. Leave out what normalizes:"
            " validation images are not augmented."
        )


def _inexact(augmentation: Augmentation, repeats: Callable[..., bool], key: str) -> str:
    rule = "expected a result that follows from the random numbers of the image alone"
    ending = "draws from a generator of its own, or keeps a state"
    if isinstance(augmentation, Pipeline):
        for place, transform in enumerate(augmentation.transforms):
            if not repeats(Pipeline(transforms=[transform])):
                name = getattr(transform, "__name__", type(transform).__name__)
                return f"{key}.transforms[{place}]: {rule}; got two results of {name} for the same: it {ending}."
    return (
        f"{key}: {rule}; got two results of {type(augmentation).__name__} for the same: it {ending},"
        " or draws from a global one. Take its random numbers from the argument `uniform`."
    )
