"""Components are built from nodes that were checked, and from no others."""

import pytest

from copycat.config.errors import UserError
from copycat.models.losses import BCE, CrossEntropy, Loss
from copycat.training.component_builders import build_loss


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
