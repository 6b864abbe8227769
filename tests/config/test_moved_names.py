"""Dotted names of earlier versions."""

from pkgutil import resolve_name

import pytest

from copycat.config.moved_names import MOVED, current_name, former_names, with_current_names
from copycat.config.options import is_option
from copycat.config.targets import build_target, import_target
from copycat.data.synthetic.dataset import Drawn
from copycat.records.target_policy import make_untrusted_check

OLD = "copycat.data.drawn.Drawn"


@pytest.mark.parametrize("old", MOVED)
def test_every_old_name_leads_to_something_that_can_be_imported(old: str) -> None:
    present = MOVED[old]
    target = present if isinstance(resolve_name(present), type) else f"{present}.Anything"
    assert current_name(target) == target  # one step, whatever the order in which names moved


@pytest.mark.parametrize("old", [*MOVED, OLD])
def test_a_present_name_leads_back_to_its_old_ones(old: str) -> None:
    assert old in former_names(current_name(old))


def test_a_name_that_moved_twice_leads_back_to_both_old_ones() -> None:
    both = ["copycat.runs.checkpoints.BestCheckpoint", "copycat.training.checkpoints.BestCheckpoint"]
    assert former_names("copycat.training.best_checkpoint.BestCheckpoint") == both
    assert former_names("copycat.data.synthetic.dataset.Drawn") == [OLD]


def test_an_old_name_builds_what_it_built() -> None:
    assert import_target("data", OLD) is Drawn
    assert build_target("data", {"_target_": OLD, "seed": 3}).seed == 3
    nested = {"_target_": "builtins.dict", "_recursive_": True, "source": {"_target_": OLD, "seed": 4}}
    assert build_target("data", nested)["source"].seed == 4


def test_the_allow_list_and_the_rules_know_an_old_name() -> None:
    assert make_untrusted_check()("data", OLD) is None
    assert is_option(OLD, "data", "drawn")


def test_names_that_did_not_move_stay() -> None:
    node = {"_target_": "torch.nn.Linear", "in_features": 3, "inner": [{"_target_": OLD}]}
    assert with_current_names(node) == {**node, "inner": [{"_target_": f"{Drawn.__module__}.Drawn"}]}
