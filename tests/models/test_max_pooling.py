"""Max pooling by the other kernel gives the bits of torch's, gradients included."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from copycat.models.max_pooling import MIN_CHANNELS, pool_in_channels_last
from copycat.models.networks import CNN

VALUES = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, 1e-40, torch.inf, -torch.inf, torch.nan])
"""Values of which some are equal, some compare with nothing, and two zeros differ in their bits."""


def make_cnn() -> CNN:
    torch.manual_seed(0)
    return CNN(image_shape=(3, 16, 16), channels=[8, 12], out_features=1, activation=nn.ReLU, dropout=0.0)


def bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(torch.int32 if tensor.itemsize == 4 else torch.int64)


class PooledFormats(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Note whether each max pooling computes on images in channels_last."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.are_channels_last = list[bool]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.max_pool2d_with_indices.default:
            self.are_channels_last.append(args[0].is_contiguous(memory_format=torch.channels_last))
        return func(*args, **(kwargs or {}))


@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 3), st.integers(MIN_CHANNELS, 20), st.integers(3, 9), st.integers(3, 9)),
    kernel=st.sampled_from([2, 3, (2, 3), (3, 1)]),
    stride=st.sampled_from([None, 1, 2, (2, 1)]),
    pads=st.booleans(),
    dilation=st.sampled_from([1, (1, 2)]),
    ceil=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    special=st.booleans(),
)
def test_values_and_gradients_have_the_bits_of_torch(
    seed: int,
    shape: tuple[int, ...],
    kernel: int,
    stride: int | None,
    pads: bool,
    dilation: int,
    ceil: bool,
    dtype: torch.dtype,
    special: bool,
) -> None:
    draw = torch.Generator().manual_seed(seed)
    padding = (kernel // 2 if isinstance(kernel, int) else tuple(size // 2 for size in kernel)) if pads else 0
    pool = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil)
    random = torch.randn(shape, generator=draw)
    numbers = VALUES[torch.randint(len(VALUES), shape, generator=draw)] if special else random
    image = numbers.to(dtype)
    found: list[tuple[Tensor, ...]] = []
    for fast in (False, True):
        if fast:
            pool_in_channels_last(pool)
        leaf = image.clone().requires_grad_()
        try:
            pooled = pool(leaf)
        except RuntimeError:  # the dilated kernel is larger than the images
            assert not found
            return
        weights = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
        pooled.backward(weights)
        with torch.inference_mode():
            found.append((pooled, pool(image), leaf.grad if leaf.grad is not None else torch.empty(0)))
    for expected, got in zip(*found, strict=True):
        assert torch.equal(bits(got), bits(expected))
        assert got.stride() == expected.stride()


def test_gradients_of_gradients_are_those_of_torch() -> None:
    pool = nn.Sequential(nn.MaxPool2d(2), nn.Tanh())
    pool_in_channels_last(pool)
    image = torch.randn(2, 8, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(pool, image)


def test_the_network_trains_to_the_same_bits_and_keeps_its_names() -> None:
    plain = make_cnn()
    fast = copy.deepcopy(plain)
    pool_in_channels_last(fast)
    assert str(fast) == str(plain)
    images = torch.rand(5, 3, 16, 16)
    for network in (plain, fast):
        network(images).square().sum().backward()
    assert [type(m) for m in fast.modules()] != [type(m) for m in plain.modules()]
    for (name, a), (other, b) in zip(plain.named_parameters(), fast.named_parameters(), strict=True):
        assert name == other
        assert a.grad is not None
        assert b.grad is not None
        assert torch.equal(bits(a.grad), bits(b.grad))


@pytest.mark.parametrize("trains", [False, True])
def test_the_kernel_for_channels_last_is_the_one_that_runs(trains: bool) -> None:
    network = make_cnn()
    pool_in_channels_last(network)
    with torch.set_grad_enabled(trains), PooledFormats() as formats:
        network(torch.rand(2, 3, 16, 16))
    assert formats.are_channels_last == [True, True]


def per_image_gradients(network: nn.Module, images: Tensor) -> Tensor:
    """Compute the gradients of each image's logit, as torch.func does."""
    weights: dict[str, Tensor] = dict(network.named_parameters())

    def logit(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        output: Tensor = functional_call(network, weights, (image[None],))
        return output.sum()

    found: dict[str, Tensor] = vmap(grad(logit), in_dims=(None, 0))(weights, images)
    return torch.cat([value.flatten() for value in found.values()])


def export(network: nn.Module, images: Tensor) -> Tensor:
    program = torch.export.export(network.eval(), (images,))
    assert "torch.ops.aten.max_pool2d.default" in program.graph_module.code
    result: Tensor = program.module()(images)
    return result


def trace(network: nn.Module, images: Tensor) -> Tensor:
    result: Tensor = torch.jit.trace(network, images, check_trace=False)(images)  # type: ignore[no-untyped-call]
    return result


def in_half(network: nn.Module, images: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        result: Tensor = network(images)
    return result


def on_meta(network: nn.Module, images: Tensor) -> Tensor:
    return torch.zeros(network.to("meta")(images.to("meta")).shape)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:DeprecationWarning")
@pytest.mark.parametrize("transform", [per_image_gradients, export, trace, in_half, on_meta])
def test_what_transforms_a_network_finds_the_layers_of_torch(transform: Callable[..., Tensor]) -> None:
    expected = transform(make_cnn(), torch.ones(2, 3, 16, 16))
    network = make_cnn()
    pool_in_channels_last(network)
    assert torch.equal(transform(network, torch.ones(2, 3, 16, 16)), expected)
