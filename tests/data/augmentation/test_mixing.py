"""Images that are mixed with others of their batch: whose pixels they have, and of which classes they are a share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.augmentation.mixing import CutMix, MixUp, SymmetricBeta, partners
from copycat.data.augmentation.transforms import Augmentation, Light, Mixing, Unchanged

KINDS: list[Callable[..., MixUp | CutMix]] = [MixUp, CutMix]


def make_random_tensor(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def invert_beta(alpha: float, uniform: Tensor) -> Tensor:
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(alpha, alpha, uniform.double().numpy()))


def one_hot(count: int, classes: int = 3) -> Tensor:
    return torch.eye(classes)[torch.arange(count) % classes]


# ----- shares


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 1.5, 4.0, 50.0, 1000.0])
def test_chances_become_what_scipy_s_inverse_gives_and_have_the_moments_of_beta(alpha: float) -> None:
    uniform = (torch.arange(100_000) + 0.5) / 100_000
    found = SymmetricBeta(alpha)(uniform).double()
    expected = invert_beta(alpha, uniform)
    assert (found - expected).abs().max() < 3e-4
    assert found.mean().item() == pytest.approx(0.5, abs=1e-5)
    assert found.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=2e-3)  # in closed form
    assert (found.diff() >= 0).all()


def test_the_first_and_the_last_chance_give_shares_from_0_to_1() -> None:
    ends = torch.tensor([0.0, 2.0**-24, 0.5, 1 - 2.0**-24])
    for alpha in (1e-3, 0.2, 1.0, 1000.0):
        found = SymmetricBeta(alpha)(ends)
        assert found.isfinite().all()
        assert (found >= 0).all()
        assert (found <= 1).all()
        assert found[2] == 0.5


# ----- partners


def test_in_whatever_order_a_batch_comes_each_image_is_the_partner_of_one_other() -> None:
    uniform = make_random_tensor(17)
    found = partners(uniform)
    assert sorted(found.tolist()) == list(range(17))
    assert (found != torch.arange(17)).all()
    order = torch.randperm(17, generator=torch.Generator().manual_seed(3))
    assert torch.equal(order[partners(uniform[order])], found[order])


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_gets_the_same_bits_in_whatever_order_its_batch_comes(kind: Callable[..., MixUp | CutMix]) -> None:
    mix = kind(alpha=1.0, base=Light(shift=1))
    assert isinstance(mix, Mixing)
    assert not isinstance(mix, Augmentation)
    image, label, uniform = make_random_tensor(9, 3, 8, 8), one_hot(9), make_random_tensor(9, mix.draws, seed=2)
    before = image.clone()
    whole = mix.mixed(image, label, uniform)
    assert torch.equal(image, before)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    again = mix.mixed(image[order], label[order], uniform[order])
    assert all(torch.equal(a[order], b) for a, b in zip(whole, again, strict=True))
    assert torch.allclose(whole[1].sum(1), torch.ones(9))


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_alone_in_its_batch_stays(kind: Callable[..., MixUp | CutMix]) -> None:
    image, label = make_random_tensor(1, 3, 8, 8), one_hot(1)
    found = kind(alpha=1.0, base=Unchanged()).mixed(image, label, make_random_tensor(1, 4))
    assert torch.equal(found[0], image)
    assert torch.equal(found[1], label)


# ----- pixels


def test_mixup_is_the_mean_of_two_images_by_the_shares_of_their_labels() -> None:
    image, label, uniform = make_random_tensor(4, 3, 5, 6), torch.eye(4), make_random_tensor(4, 2, seed=2)
    made, shares = MixUp(alpha=0.8, base=Unchanged()).mixed(image, label, uniform)
    by_hand = torch.einsum("bk,kchw->bchw", shares, image)  # of four images, each is a class of its own
    assert torch.allclose(made, by_hand, atol=1e-6)
    kept = invert_beta(0.8, uniform[:, 1]).float()
    assert torch.allclose(shares.diagonal(), kept, atol=1e-3)


def test_cutmix_puts_a_box_of_another_image_whose_area_is_its_share() -> None:
    image = torch.arange(8.0)[:, None, None, None].expand(8, 3, 12, 10)
    label, uniform = torch.eye(8), make_random_tensor(8, 4, seed=2)
    made, shares = CutMix(alpha=1.0, base=Unchanged()).mixed(image, label, uniform)
    other = partners(uniform[:, 0])
    for place in range(8):
        box = (made[place] == other[place]).all(0)
        assert (made[place][:, ~box] == place).all()
        rows, columns = box.any(1), box.any(0)
        assert torch.equal(box, rows[:, None] & columns[None])
        assert shares[place, other[place]].item() == pytest.approx(box.float().mean().item())
        assert shares[place, place].item() == pytest.approx(1 - box.float().mean().item())
    assert 0.2 < shares.diagonal().mean() < 0.9


def test_what_comes_first_is_done_before_and_only_what_changes_images_one_by_one_may() -> None:
    image, label, uniform = make_random_tensor(5, 3, 8, 8), one_hot(5), make_random_tensor(5, 5, seed=2)
    light = Light(shift=2)
    first, _ = MixUp(alpha=1.0, base=light).mixed(image, label, uniform)
    plain, _ = MixUp(alpha=1.0, base=Unchanged()).mixed(light(image, uniform[:, 2:]), label, uniform[:, :2])
    assert torch.equal(first, plain)
    with pytest.raises(UserError, match=r"augmentation\.base: expected .* one by one; got CutMix"):
        MixUp(alpha=1.0, base=CutMix(alpha=1.0, base=light))  # type: ignore[arg-type]
