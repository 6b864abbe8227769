"""Targets of the packaged options, which the code knows by the options' names alone."""

import pytest

from copycat.config.combinations import AVERAGING_OPTIONS
from copycat.config.options import is_option, packaged_targets
from copycat.config.targets import import_target
from copycat.data.augmentation.transforms import Unchanged
from copycat.data.sources.cats import Cats
from copycat.data.sources.folder import Folder
from copycat.models import losses
from copycat.training import weight_averaging as averaging


@pytest.mark.parametrize(
    ("kind", "group", "option"),
    [
        (losses.BCE, "loss", "bce"),
        (losses.BCEWithLogits, "loss", "bce_with_logits"),
        (losses.ByClasses, "loss", "auto"),
        (losses.CrossEntropy, "loss", "cross_entropy"),
        (averaging.SWA, "callbacks", "swa"),
        (Unchanged, "augmentation", "none"),
        (Folder, "data", "folder"),
        (Cats, "data", "cats"),
    ],
)
def test_the_options_that_rules_name_build_the_classes_that_they_are_about(kind: type, group: str, option: str) -> None:
    (target,) = packaged_targets(group)[option]
    assert import_target(group, target) is kind
    assert is_option(target, group, option)


def test_every_callback_that_averages_weights_is_known_as_one() -> None:
    found = {
        option
        for option, targets in packaged_targets("callbacks").items()
        for target in targets
        if import_target("callbacks", target).__module__ == averaging.__name__
    }
    assert found == {*AVERAGING_OPTIONS}


def test_a_target_is_of_any_option_of_its_group_and_of_no_other() -> None:
    (target,) = packaged_targets("hydra/launcher")["packed"]
    assert is_option(target, "hydra/launcher")
    assert not is_option(target, "hydra/sweeper")
    assert not is_option(target, "hydra/launcher", "ray")
