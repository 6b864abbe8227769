"""Components are built from nodes that were checked, and from no others."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.models.losses import BCE, CrossEntropy, Loss
from copycat.models.networks import Normalized
from copycat.training.component_builders import build_loss, build_network, initialize
from copycat.training.components import build_components


class Weighted(BCE):
    """Has a key that the loss it stands for lacks."""

    def __init__(self, *, margin: float = 0.0) -> None:
        super().__init__()

    @staticmethod
    def for_classes(classes: int) -> type[Loss]:
        """Return the loss of a number of classes."""
        return CrossEntropy


def test_a_loss_chosen_by_the_number_of_classes_is_checked_against_its_own_signature() -> None:
    with pytest.raises(UserError, match=r"^loss\.margin: copycat\.models\.losses\.CrossEntropy takes .*; got 'margin'"):
        build_loss({"_target_": f"{__name__}.Weighted", "margin": 0.1}, classes=3)


def test_a_class_that_is_no_loss_is_refused_by_the_name_that_one_imports() -> None:
    with pytest.raises(UserError, match=r"^loss\._target_: expected a copycat\.models\.losses\.Loss; got 'fractions"):
        build_loss({"_target_": "fractions.Fraction"}, classes=2)


class Returns(nn.Module):
    """Return the logits in another form."""

    def __init__(self, *, form: str, in_features: int, out_features: int) -> None:
        super().__init__()
        self.form, self.linear = form, nn.Linear(in_features, out_features)
        self.normalization = nn.BatchNorm1d(out_features).eval()  # frozen, and stays so

    def forward(self, x: Tensor) -> Any:
        logits = self.normalization(self.linear(x.flatten(1)))
        forms = {"logits": logits, "flat": logits[:, 0], "tuple": (logits, x), "wide": logits.repeat(1, 7)}
        return forms[self.form]


@pytest.mark.parametrize(("form", "got"), [("flat", "[2]"), ("tuple", "tuple"), ("wide", "[2, 7]")])
def test_a_network_that_returns_no_logits_is_refused_before_a_run_begins(form: str, got: str) -> None:
    with pytest.raises(UserError) as refused:
        build_network(compose_own(form), image_shape=(3, 4, 4), classes=2)
    expected = f"model: expected logits [2, 1] of two images; got {got}. Change its forward."
    assert str(refused.value) == expected


class Counts(Returns):
    """Keep its state in a dictionary, which no file of weights holds."""

    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 0}


def test_a_network_with_a_state_other_than_tensors_is_refused_before_a_run_begins() -> None:
    config = compose_own("logits")
    config["model"]["_target_"] = f"{__name__}.Counts"
    with pytest.raises(UserError, match=r"^model: expected a state of tensors; got _extra_state, of "):
        build_network(config, image_shape=(3, 4, 4), classes=2)


def test_the_check_of_logits_changes_neither_modes_nor_random_numbers() -> None:
    network = build_network(compose_own("logits"), image_shape=(3, 4, 4), classes=2)
    assert [module.training for module in network.modules()] == [True, True, False]
    torch.manual_seed(5)
    same = Returns(form="logits", in_features=48, out_features=1)
    assert torch.equal(torch.get_rng_state(), get_state_after(5))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), same.parameters(), strict=True))


def test_an_initialization_keeps_a_pretrained_backbone_behind_a_normalization() -> None:
    own = nn.Sequential(OrderedDict(backbone=nn.Linear(4, 4), head=nn.Linear(4, 1)))
    before = own.get_parameter("backbone.weight").clone()
    node = {"_target_": "copycat.models.initialization.Zeros"}
    config = {"trainer": {}, "initialization": node, "seed": 5}
    initialize(Normalized(own, mean=[0.5], std=[0.2]), config, image_shape=(1, 2, 2))
    assert torch.equal(own.get_parameter("backbone.weight"), before)
    assert not own.get_parameter("head.weight").any()


def get_state_after(seed: int) -> Tensor:
    """Return the state of the generator after a network was built."""
    build_network(compose_own("logits", seed=seed), image_shape=(3, 4, 4), classes=2)
    return torch.get_rng_state()


def compose_own(form: str, *, seed: int = 5) -> dict[str, Any]:
    """Return a configuration of such a network."""
    node = {"_target_": f"{__name__}.Returns", "form": form}
    return {"model": node, "loss": {"_target_": "copycat.models.losses.BCE"}, "seed": seed}


@pytest.mark.parametrize(("group", "kind"), [("callbacks", "Callback"), ("logger", "Logger")])
def test_a_class_that_is_no_callback_or_logger_is_refused_before_a_run_begins(group: str, kind: str) -> None:
    config = compose([f"+{group}.own._target_=fractions.Fraction"], check_data=False).config
    expected = rf"^{group}\.own\._target_: expected a {kind} of Lightning; got fractions\.Fraction\.$"
    with pytest.raises(UserError, match=expected):
        build_components(config)
