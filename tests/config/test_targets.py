"""What a `_target_` names is held against its signature before it is built."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.config.targets import Node, build_target, check_node, import_target, signature_keys

OWN = """
import typing
from collections.abc import Callable, Sequence
from typing import Literal


class Rate:
    def __init__(self, *, rate: float, steps: int = 3, name: str | None = None) -> None:
        if rate > 1:
            raise ValueError("a rate above 1\\nmakes no sense")
        self.rate, self.steps, self.name = rate, steps, name


class Holder:
    def __init__(self, inner: Rate) -> None:
        self.inner = inner


class Kinds:
    def __init__(
        self,
        *,
        kind: Literal["soft", "hard", 2] = "soft",
        sizes: Sequence[int] = (),
        scales: list[float] | None = None,
        pair: tuple[float, str] = (1, "a"),
        late: "Literal['first', 'last']" = "first",
        **more: object,
    ) -> None:
        self.kind, self.sizes, self.scales, self.pair, self.late, self.more = kind, sizes, scales, pair, late, more


class Maker:
    def __init__(self, make: Callable[[], Rate]) -> None:
        self.made = [make(), make()]


class Calls:
    def __init__(self, call: typing.Callable) -> None:
        self.call = call


def fail(*, how: str) -> None:
    raise {"key": KeyError("missing"), "word": ValueError("missing"), "empty": AssertionError()}[how]


def anything(**words: object) -> dict[str, object]:
    return words
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_of_targets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_target_is_built_from_its_keys_and_from_those_given_here() -> None:
    assert build_target("ratio", {"_target_": "fractions.Fraction", "numerator": 1}, denominator=3) == Fraction(1, 3)


def test_a_resolved_text_is_not_resolved_again() -> None:
    name = build_target("x", {"_target_": "own_of_targets.Rate", "rate": 0.5, "name": "${now:%Y}"}).name
    assert name == "${now:%Y}"


def test_positions_come_before_keys() -> None:
    assert build_target("count", {"_target_": "collections.Counter"}, "aab") == Counter(a=2, b=1)


def test_a_partial_target_waits_for_the_rest() -> None:
    node = {"_target_": "own_of_targets.Rate", "_partial_": True, "steps": 5}
    made = build_target("rate", node)(rate=0.5)
    assert (made.rate, made.steps) == (0.5, 5)


def test_an_inner_target_is_built_too() -> None:
    inner = {"_target_": "own_of_targets.Rate", "rate": 0.5}
    assert build_target("holder", {"_target_": "own_of_targets.Holder", "inner": inner}).inner.rate == 0.5


def test_a_factory_makes_its_objects_one_by_one() -> None:
    rate = {"_target_": "own_of_targets.Rate", "_partial_": True, "rate": 0.5}
    first, second = build_target("maker", {"_target_": "own_of_targets.Maker", "make": rate}).made
    assert first is not second
    with pytest.raises(UserError, match=r"maker.make: expected own_of_targets.Rate with _partial_: true; got it with"):
        build_target("maker", {"_target_": "own_of_targets.Maker", "make": {**rate, "_partial_": False}})


def test_an_object_that_is_called_is_no_factory() -> None:
    rate = {"_target_": "own_of_targets.Rate", "rate": 0.5}
    assert build_target("calls", {"_target_": "own_of_targets.Calls", "call": rate}).call.rate == 0.5


def test_an_inner_target_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: Counter[str] = Counter()

    def counted(key: str, node: Node, *, given: Sequence[str] = ()) -> None:
        checked[key] += 1
        check_node(key, node, given=given)

    monkeypatch.setattr("copycat.config.targets.check_node", counted)
    inner = {"_target_": "own_of_targets.Rate", "rate": 0.5}
    build_target("holder", {"_target_": "own_of_targets.Holder", "inner": inner})
    assert checked == {"holder": 1, "holder.inner": 1}


@pytest.mark.parametrize(
    ("node", "line"),
    [
        ({"_target_": "own_of_targets.Rate", "rate": 0.5, "stpes": 1}, "x.stpes: .*steps.* Did you mean x.steps?"),
        ({"_target_": "own_of_targets.Rate", "rate": "banana"}, "x.rate: expected float; got 'banana'"),
        ({"_target_": "own_of_targets.Rate", "rate": True}, "x.rate: expected float; got true"),
        ({"_target_": "own_of_targets.Rate", "rate": None}, "x.rate: expected float; got null"),
        ({"_target_": "own_of_targets.Rate", "rate": 0.5, "steps": 2.5}, "x.steps: expected int; got 2.5"),
        ({"_target_": "own_of_targets.Rate", "rate": 0.5, "name": 5}, "x.name: expected str or null; got 5"),
        ({"_target_": "own_of_targets.Rate", "steps": 2}, "x.rate: .* needs it. Type x.rate=VALUE"),
        ({"_target_": "own_of_targets.Rate", "rate": 2}, "refuses this: a rate above 1$"),
        ({"_target_": "own_of_targets.Holder", "inner": {"_target_": "own_of_targets.Rate", "rte": 1}}, "x.inner.rte"),
        ({"_target_": "own_of_targets.Rte", "rate": 1}, "x._target_: .*has no attribute 'Rte'"),
        ({"_target_": "nowhere_at_all.Rate"}, "x._target_: .*No module named 'nowhere_at_all'"),
    ],
)
def test_a_node_that_does_not_fit_is_one_line(node: dict[str, object], line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        build_target("x", node)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("kind", "sfot", r"x\.kind: expected one of 2, hard, soft; got 'sfot'\. Did you mean x\.kind=soft\?"),
        ("kind", True, r"x\.kind: expected one of 2, hard, soft; got true\."),
        ("sizes", "abc", r"x\.sizes: expected a list of int; got 'abc'\."),
        ("sizes", ["x", "y"], r"x\.sizes: expected a list of int; got \['x', 'y'\]\."),
        ("scales", [1, True], r"x\.scales: expected a list of float or null; got \[1, true\]\."),
        ("scales", 1.0, r"x\.scales: expected a list of float or null; got 1\.0\."),
        ("pair", [1.0], r"x\.pair: expected \[float, str\]; got \[1\.0\]\."),
        ("pair", [1.0, 2], r"x\.pair: expected \[float, str\]; got \[1\.0, 2\]\."),
        ("late", "lst", r"x\.late: expected one of first, last; got 'lst'\. Did you mean x\.late=last\?"),
    ],
)
def test_words_and_lists_are_checked_also_beside_any_keywords(key: str, value: object, line: str) -> None:
    with pytest.raises(UserError, match=f"^{line}$"):
        build_target("x", {"_target_": "own_of_targets.Kinds", key: value})


@pytest.mark.parametrize(
    ("how", "reason"),
    [("key", "KeyError: 'missing'"), ("word", "ValueError: missing"), ("empty", "AssertionError")],
)
def test_an_error_whose_message_is_no_sentence_is_named_by_its_type(how: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"^x: own_of_targets.fail refuses this: {reason}$"):
        build_target("x", {"_target_": "own_of_targets.fail", "how": how})


def test_words_and_lists_that_fit_are_built() -> None:
    keys = {"kind": 2, "sizes": [1, 2], "scales": [1, 0.5], "pair": [1, "b"], "late": "last"}
    made = build_target("x", {"_target_": "own_of_targets.Kinds", **keys, "scales": None, "banana": 3})
    assert (made.kind, made.sizes, made.scales, made.pair, made.more) == (2, [1, 2], None, [1, "b"], {"banana": 3})
    assert build_target("x", {"_target_": "own_of_targets.Kinds", **keys}).scales == [1, 0.5]


def test_a_key_that_nobody_gives_later_is_to_be_typed() -> None:
    with pytest.raises(UserError, match=r"needs it\. Type model\.activation\.rate=VALUE\.$"):
        check_node("model.activation", {"_target_": "own_of_targets.Rate"})


def test_a_whole_number_is_a_float_too() -> None:
    assert build_target("x", {"_target_": "own_of_targets.Rate", "rate": 1}).rate == 1


def test_a_target_that_takes_any_keyword_takes_any_key() -> None:
    assert build_target("x", {"_target_": "own_of_targets.anything", "banana": 3}) == {"banana": 3}


def test_a_null_key_that_the_target_does_not_take_is_refused_though_the_caller_passes_it() -> None:
    with pytest.raises(UserError, match=r"x\.width: own_of_targets.Rate takes .*; got 'width'"):
        check_node("x", {"_target_": "own_of_targets.Rate", "rate": 1, "width": None}, given=["width"])


@pytest.mark.parametrize("node", [{}, {"rate": None}])
def test_a_key_given_in_code_may_be_null_or_missing_in_the_node(node: Node) -> None:
    check_node("x", {"_target_": "own_of_targets.Rate", **node}, given=["rate"])


def test_the_keys_of_a_signature_are_those_that_go_by_name() -> None:
    assert signature_keys(import_target("x", "own_of_targets.Rate")) == ["rate", "steps", "name"]
    assert signature_keys(import_target("x", "own_of_targets.anything")) == []
