"""A temperature is the minimum that independent minimizers find, and changes no order of classes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch.nn import functional as F

from copycat.deploy.probability_network import class_logits
from copycat.models.losses import BCE, MSE, BCEWithLogits, CrossEntropy, Focal, Loss
from copycat.models.temperature import fit_temperature, negative_log_likelihood, scaled_probabilities


def draw_predictions(seed: int, *, images: int, classes: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, which are too large by a factor, and labels drawn by the probabilities without it."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(images, classes)) * 1.5
    noise = random.gumbel(size=logits.shape)
    return sharpness * logits, (logits + noise).argmax(1)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("sharpness", [0.3, 4.0])
def test_it_is_the_minimum_of_two_independent_minimizers(classes: int, sharpness: float) -> None:
    logits, label = draw_predictions(1, images=400, classes=classes, sharpness=sharpness)
    found = fit_temperature(logits, label)
    assert found is not None
    tensor, target = torch.from_numpy(logits), torch.from_numpy(label)

    def loss(temperature: float) -> float:
        return float(F.cross_entropy(tensor / temperature, target))

    brent = minimize_scalar(loss, bounds=(0.02, 50), method="bounded", options={"xatol": 1e-10})
    assert found == pytest.approx(brent.x, rel=1e-4)
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        value = F.cross_entropy(tensor / log_temperature.exp(), target)
        value.backward()  # type: ignore[no-untyped-call]
        return value.item()

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    assert found == pytest.approx(log_temperature.exp().item(), rel=1e-4)
    assert found == pytest.approx(sharpness, rel=0.25)  # the factor that the labels do not know
    assert negative_log_likelihood(logits, label, found).mean() == pytest.approx(loss(found), rel=1e-12)


def test_without_an_error_there_is_no_temperature_and_without_information_it_is_the_largest() -> None:
    label = np.array([0, 1, 1])
    right = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
    assert fit_temperature(right, label) is None
    assert fit_temperature(-right, label) == pytest.approx(100)


@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0.05, 20))
def test_probabilities_are_a_softmax_in_the_order_of_the_logits(seed: int, classes: int, temperature: float) -> None:
    logits, _ = draw_predictions(seed, images=7, classes=classes, sharpness=3.0)
    found = scaled_probabilities(logits, temperature)
    assert np.allclose(found, torch.from_numpy(logits / temperature).softmax(1).numpy(), atol=1e-12)
    assert (found.argsort(1) == logits.argsort(1)).all()


class OwnLoss(CrossEntropy):
    """Has probabilities of its own."""

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return super().probability(logits / 2)


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [
        (BCE, 1),
        (BCEWithLogits, 1),
        (CrossEntropy, 3),
        (CrossEntropy, 2),
        (MSE, 1),
        (Focal, 1),
        (Focal, 3),
        (OwnLoss, 3),
    ],
)
def test_the_softmax_of_class_logits_is_the_loss_s_probability(loss: Callable[[], Loss], outputs: int) -> None:
    output = torch.linspace(-0.2, 1.2, 12, dtype=torch.float64).reshape(-1, outputs)
    expected = loss().probability(output)
    expected = torch.stack([1 - expected, expected], 1) if expected.ndim == 1 else expected
    assert torch.allclose(class_logits(loss(), output).softmax(1), expected, atol=1e-12)


def test_class_logits_keep_what_a_sigmoid_rounds_to_1() -> None:
    output = torch.tensor([[40.0], [80.0]])
    assert BCE().probability(output).tolist() == [1.0, 1.0]
    assert class_logits(BCE(), output).tolist() == [[0.0, 40.0], [0.0, 80.0]]
