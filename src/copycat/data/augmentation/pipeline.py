"""Apply a list of transforms of kornia, torchvision or one's own to each image, with random numbers of its own."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

Transform = Callable[[Tensor], Tensor]
"""Map float [1, C, H, W] in [0, 1] to the same shape and range, drawing from the global generators."""
RESOLUTION = 2**24  # distinct values of a float32 that is uniform in [0, 1)


class Pipeline:
    """Apply transforms to one image after another, with all global random generators seeded for each.

    An image's result is a function of its two random numbers, which follow from the seed, the epoch and the image's
    index: neither the batch nor what was drawn before changes it. The generators continue as if nothing was drawn.

    Args:
        transforms: applied in order; each takes float [1, C, H, W] in [0, 1] and returns the same shape.
    """

    draws = 2

    def __init__(self, *, transforms: Sequence[Transform]) -> None:
        """Store the transforms."""
        self.transforms = list(transforms)

    def __call__(self, image: Tensor, uniform: Tensor) -> Tensor:
        """Augment images, as `Augmentation` describes."""
        results = []
        with restored_generators(image.device):
            for one, (high, low) in zip(image, uniform.double().mul(RESOLUTION).long().tolist(), strict=True):
                seed_generators(high * RESOLUTION + low, image.device)
                result = one[None].clone()  # a transform may write to its input
                for transform in self.transforms:
                    result = transform(result)
                results.append(result)
        return torch.cat(results)


@contextmanager
def restored_generators(device: torch.device) -> Iterator[None]:
    """Restore the states of the global generators of torch, of a device, of NumPy and of `random` in the end."""
    python, numpy = random.getstate(), np.random.get_state()
    cpu_only = device.type == "cpu"
    devices, kind = ([], "cuda") if cpu_only else ([device], device.type)
    try:
        with torch.random.fork_rng(devices=devices, device_type=kind):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the global generators with a number below 2**48."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes five times as long
    else:
        torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed([seed % RESOLUTION, seed // RESOLUTION])
