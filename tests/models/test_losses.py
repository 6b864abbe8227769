"""Losses beside torch's own and beside their formulas."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from copycat.models.losses import BCE, MSE, BCEWithLogits, CrossEntropy, Focal, Loss, MultiLabel, Reduction
from tests.support.losses import REDUCTIONS, WEIGHTS, make_batch, with_gradient


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


# ----- the lecture's: sigmoid, then BCELoss


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 70),
    weight=st.sampled_from(WEIGHTS),
    reduction=st.sampled_from(REDUCTIONS),
)
def test_bce_has_the_bits_of_nn_sigmoid_and_nn_bceloss(
    seed: int, size: int, weight: list[float] | None, reduction: Reduction
) -> None:
    """A weight of ours stands for a class; nn.BCELoss wants one for each element."""
    logits, label = make_batch(seed, size=size, outputs=1, classes=2)
    elements = None if weight is None else torch.tensor([[weight[k]] for k in label.tolist()])
    theirs = nn.BCELoss(weight=elements, reduction=reduction)
    target = label.float()[:, None]
    ours = BCE(class_weights=weight, reduction=reduction)
    found = with_gradient(lambda x: ours(x, label), logits)
    expected = with_gradient(lambda x: theirs(nn.Sigmoid()(x), target), logits)
    assert found[0].equal(expected[0])
    assert found[1].equal(expected[1])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_outputs_of_exactly_0_and_1_cost_0_or_100_and_have_a_finite_gradient(
    weight: list[float] | None, reduction: Reduction
) -> None:
    logits, label = torch.tensor([[-1000.0], [1000.0], [-1000.0], [1000.0]]), torch.tensor([0, 1, 1, 0])
    assert logits.sigmoid().flatten().tolist() == [0.0, 1.0, 0.0, 1.0]
    loss, gradient = with_gradient(lambda x: BCE(class_weights=weight, reduction=reduction)(x, label), logits)
    low, high = weight or [1.0, 1.0]
    assert loss.item() == (100 * high + 100 * low) / (4 if reduction == "mean" else 1)
    assert gradient.isfinite().all()


def test_a_nan_output_has_a_nan_loss_and_leaves_other_trials_of_a_pack_alone() -> None:
    fine, label = torch.tensor([[0.3], [-2.0]]), torch.tensor([1, 0])
    bad = torch.tensor([[0.3], [torch.nan]])
    loss, gradient = with_gradient(lambda x: BCE()(x, label), bad)
    assert loss.isnan()
    assert gradient.isnan().any()
    costs = torch.func.vmap(lambda x: BCE()(x, label))(torch.stack([fine, bad]))
    assert costs[0] == BCE()(fine, label)
    assert costs[1].isnan()


def test_the_gradient_at_an_output_of_exactly_0_or_1_is_nn_bceloss_s_own() -> None:
    probability = torch.tensor([[0.0], [1.0], [0.0], [1.0]], requires_grad=True)
    target = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    nn.BCELoss()(probability, target).backward()
    assert probability.grad is not None
    assert probability.grad.isfinite().all()
    logits = torch.tensor([[-1000.0], [1000.0], [-1000.0], [1000.0]])
    _, ours = with_gradient(lambda x: BCE()(x, target[:, 0].long()), logits)
    p = probability.detach()
    assert ours.equal(probability.grad * (1 - p) * p)


# ----- against formulas in float64


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 30),
    weight=st.sampled_from(WEIGHTS),
    reduction=st.sampled_from(REDUCTIONS),
)
def test_binary_losses_are_their_formulas(
    seed: int, size: int, weight: list[float] | None, reduction: Reduction
) -> None:
    logits, label = make_batch(seed, size=size, outputs=1, classes=2)
    logits = logits.clamp(-6, 6)  # beyond, 1 - sigmoid loses digits in float32, as nn.BCELoss does
    x, y = logits[:, 0].double().numpy(), label.numpy()
    factor = np.array(weight or [1.0, 1.0])[y]
    cross = -y * np.log(sigmoid(x)) - (1 - y) * np.log(1 - sigmoid(x))
    squared = (x - y) ** 2
    whole = np.mean if reduction == "mean" else np.sum
    for loss, cost in ((BCE, cross), (BCEWithLogits, cross), (MSE, squared)):
        found = loss(class_weights=weight, reduction=reduction)(logits, label)
        assert found.shape == ()
        assert found.item() == pytest.approx(whole(factor * cost), rel=1e-4, abs=1e-6)


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 30),
    classes=st.integers(2, 6),
    weighted=st.booleans(),
    reduction=st.sampled_from(REDUCTIONS),
)
def test_cross_entropy_and_squared_error_on_one_hot_labels_are_their_formulas(
    seed: int, size: int, classes: int, weighted: bool, reduction: Reduction
) -> None:
    logits, label = make_batch(seed, size=size, outputs=classes, classes=classes)
    weight = [0.5 + k for k in range(classes)] if weighted else None
    x, y = logits.double().numpy(), label.numpy()
    factor = np.array(weight or [1.0] * classes)[y]
    cost = np.log(np.exp(x).sum(1)) - x[np.arange(size), y]
    # as in torch, a weighted mean of cross-entropy is by the sum of the weights
    expected = (factor * cost).sum() / (factor.sum() if reduction == "mean" else 1)
    found = CrossEntropy(class_weights=weight, reduction=reduction)(logits, label)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    if classes > 2:
        squared = factor[:, None] * (x - np.eye(classes)[y]) ** 2
        found = MSE(class_weights=weight, reduction=reduction)(logits, label)
        assert found.item() == pytest.approx(squared.mean() if reduction == "mean" else squared.sum(), rel=1e-4)


def test_bce_with_logits_is_finite_and_exact_where_a_sigmoid_rounds() -> None:
    loss, gradient = with_gradient(lambda x: BCEWithLogits()(x, torch.tensor([0])), torch.tensor([[1000.0]]))
    assert (loss.item(), gradient.item()) == (1000.0, 1.0)


# ----- focal loss


def sigmoid_focal_loss(x: Tensor, target: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """torchvision.ops.sigmoid_focal_loss, as its page states it, for each image."""
    p = torch.sigmoid(x)
    cross = F.binary_cross_entropy_with_logits(x, target, reduction="none")
    p_t = p * target + (1 - p) * (1 - target)
    alpha_t = alpha * target + (1 - alpha) * (1 - target)
    return alpha_t * cross * (1 - p_t) ** gamma


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 30),
    alpha=st.floats(0.01, 0.99),
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]),
    reduction=st.sampled_from(REDUCTIONS),
)
def test_the_focal_loss_of_one_logit_is_torchvision_s_with_class_weights_as_its_alpha(
    seed: int, size: int, alpha: float, gamma: float, reduction: Reduction
) -> None:
    logits, label = make_batch(seed, size=size, outputs=1, classes=2)
    ours = Focal(gamma=gamma, class_weights=[1 - alpha, alpha], reduction=reduction)
    found = with_gradient(lambda x: ours(x, label), logits)

    def theirs(x: Tensor) -> Tensor:
        costs = sigmoid_focal_loss(x, label.double()[:, None], alpha=alpha, gamma=gamma)
        return costs.mean() if reduction == "mean" else costs.sum()

    expected = with_gradient(theirs, logits.double())
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one.double(), other, rtol=1e-4, atol=1e-6)


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 30),
    classes=st.integers(3, 6),
    gamma=st.sampled_from([0.5, 2.0]),
    weighted=st.booleans(),
    reduction=st.sampled_from(REDUCTIONS),
)
def test_the_focal_loss_of_several_logits_is_its_formula(
    seed: int, size: int, classes: int, gamma: float, weighted: bool, reduction: Reduction
) -> None:
    logits, label = make_batch(seed, size=size, outputs=classes, classes=classes)
    weight = [0.5 + k for k in range(classes)] if weighted else None
    powers = np.exp(logits.double().numpy())
    p = (powers / powers.sum(1, keepdims=True))[np.arange(size), label.numpy()]
    factor = np.array(weight or [1.0] * classes)[label.numpy()]
    expected = (-factor * (1 - p) ** gamma * np.log(p)).sum() / (factor.sum() if reduction == "mean" else 1)
    found = Focal(gamma=gamma, class_weights=weight, reduction=reduction)(logits, label)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("kind", "outputs", "classes"), [(BCEWithLogits, 1, 2), (CrossEntropy, 4, 4)])
def test_the_focal_loss_of_gamma_0_is_cross_entropy(
    kind: Callable[..., Loss],
    outputs: int,
    classes: int,
    weighted: bool,
    reduction: Reduction,
    smoothing: float,
    soft: bool,
) -> None:
    logits, label = make_batch(5, size=20, outputs=outputs, classes=classes)
    target = torch.rand(20, classes, generator=torch.Generator().manual_seed(1)).softmax(1) if soft else label
    weight = [0.5 + k for k in range(classes)] if weighted else None
    losses = (of(class_weights=weight, reduction=reduction, label_smoothing=smoothing) for of in (gamma_0, kind))
    found, expected = (with_gradient(lambda x, loss=loss: loss(x, target), logits) for loss in losses)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def gamma_0(**settings: Any) -> Focal:
    return Focal(gamma=0, **settings)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_focal_loss_of_certain_outputs_is_finite_and_so_is_its_gradient(outputs: int, gamma: float) -> None:
    logits = torch.zeros(4, outputs)
    logits[:, 0] = torch.tensor([-1000.0, 1000.0, -1000.0, 1000.0])
    label = torch.tensor([0, 1, 1, 0])
    loss, gradient = with_gradient(lambda x: Focal(gamma=gamma, reduction="sum")(x, label), logits)
    # two images are wrong by 1000; of three logits, two that are equal share the rest
    halves = np.log(2) + 0.5**gamma * np.log(2)
    assert loss.item() == pytest.approx(2000 if outputs == 1 else 2000 + halves, rel=1e-6)
    assert gradient.isfinite().all()


# ----- probabilities and widths


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 9), classes=st.integers(3, 6))
def test_probabilities_are_one_an_image_for_two_classes_and_one_a_class_for_more(
    seed: int, size: int, classes: int
) -> None:
    single, _ = make_batch(seed, size=size, outputs=1, classes=2)
    several, _ = make_batch(seed, size=size, outputs=classes, classes=classes)
    two = several[:, :2]
    for loss in (BCE(), BCEWithLogits(), Focal()):
        np.testing.assert_allclose(loss.probability(single), sigmoid(single[:, 0].double().numpy()), rtol=1e-5)
    np.testing.assert_array_equal(MSE().probability(single), np.clip(single[:, 0].numpy(), 0, 1))
    np.testing.assert_array_equal(MSE().probability(several), np.clip(several.numpy(), 0, 1))
    difference = (two[:, 1] - two[:, 0]).double().numpy()
    np.testing.assert_allclose(CrossEntropy().probability(two), sigmoid(difference), rtol=1e-4)
    powers = np.exp(several.double().numpy())
    for kind in (CrossEntropy, Focal):
        found = kind().probability(several).double().numpy()
        np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "widths"),
    [(BCE, [1]), (BCEWithLogits, [1]), (MSE, [1, 3, 4]), (Focal, [1, 3, 4]), (CrossEntropy, [2, 3, 4])],
)
def test_a_loss_says_how_many_logits_it_wants_for_2_3_and_4_classes(loss: type[Loss], widths: list[int]) -> None:
    assert [loss.out_features(classes) for classes in (2, 3, 4)[: len(widths)]] == widths


@pytest.mark.parametrize("loss", [BCE, BCEWithLogits])
@pytest.mark.parametrize("classes", [1, 3, 1000])
def test_a_binary_loss_refuses_other_than_two_classes_and_names_what_takes_them(loss: type[Loss], classes: int) -> None:
    with pytest.raises(ValueError, match=f"expected 2 classes; got {classes}. Type loss=cross_entropy"):
        loss.out_features(classes)


# ----- several classes an image


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 4.0]])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(st.integers(0, 1000), st.integers(1, 9))
def test_several_classes_an_image_cost_as_in_torch(
    reduction: Reduction, weights: list[float] | None, seed: int, size: int
) -> None:
    logits, _ = make_batch(seed, size=size, outputs=3, classes=3)
    label = torch.randint(2, (size, 3), generator=torch.Generator().manual_seed(seed))
    loss = MultiLabel(class_weights=weights, reduction=reduction)
    whole = nn.BCEWithLogitsLoss(pos_weight=None if weights is None else torch.tensor(weights))
    ours, theirs = (with_gradient(lambda x, f=f: f(x, label), logits) for f in (loss, lambda x, y: whole(x, y.float())))
    factor = 1 if reduction == "mean" else size
    assert torch.allclose(ours[0], theirs[0] * factor, rtol=1e-5)
    assert torch.allclose(ours[1], theirs[1] * factor, rtol=1e-5, atol=1e-7)
    assert torch.equal(loss.probability(logits), logits.sigmoid())
