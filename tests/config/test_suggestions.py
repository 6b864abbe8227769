"""The nearest valid word."""

import shlex
import subprocess

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch._utils import ExceptionWrapper

from copycat.config.composition import open_loader
from copycat.config.overrides import parse_overrides
from copycat.config.suggestions import (
    describe_error,
    did_you_mean,
    first_line,
    format_value,
    nearest_word,
    one_of,
    quoted_override,
    type_override,
)
from copycat.data.decode import UnreadableImage

OPTIMIZERS = ["adam", "adamax", "adamw", "lbfgs", "momentum", "rmsprop", "rprop", "sgd", "sparse_adam"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("adma", "adam"), ("adamW", "adamw"), ("sdg", "sgd"), ("sprase_adam", "sparse_adam"), ("lbgfs", "lbfgs")],
)
def test_a_slip_of_the_hand_finds_the_word_that_was_meant(typed: str, meant: str) -> None:
    assert nearest_word(typed, OPTIMIZERS) == meant


def test_a_key_without_its_group_finds_the_key_inside_it() -> None:
    assert nearest_word("lr", ["seed", "optimizer.lr", "data.folds"]) == "optimizer.lr"


def test_a_parent_that_two_keys_share_does_not_make_them_alike() -> None:
    assert nearest_word("optimizer.betas", ["optimizer.lr", "optimizer.dampening"]) is None


@pytest.mark.parametrize("typed", ["banana", "", "é", "xyz"])
def test_a_word_like_no_other_finds_nothing(typed: str) -> None:
    assert nearest_word(typed, OPTIMIZERS) is None


def test_no_word_finds_nothing_where_there_is_none() -> None:
    assert nearest_word("adam", []) is None
    assert did_you_mean("adam", []) == ""


def test_the_sentence_is_what_to_type() -> None:
    assert did_you_mean("lrr", ["optimizer.lr"], after="=0.1") == " Did you mean optimizer.lr=0.1?"
    assert did_you_mean("adma", ["adam"], before="optimizer=") == " Did you mean optimizer=adam?"


def test_the_sentence_can_be_typed_where_the_word_has_blanks() -> None:
    assert did_you_mean("ab", ["a b"], before="--class ") == " Did you mean --class 'a b'?"


@given(st.lists(st.text(min_size=1), min_size=1, unique_by=str.lower), st.data())
def test_a_valid_word_is_its_own_nearest(words: list[str], data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(words).filter(lambda w: "." not in w))
    assert nearest_word(word, words) == word


def test_a_long_list_keeps_its_ends() -> None:
    words = [f"word{i:02}" for i in range(30)]
    assert one_of(words, most=4) == "word00, word01, …, word29"
    assert one_of(reversed(words[:3]), most=4) == "word00, word01, word02"


@pytest.mark.parametrize("path", ["t.csv", "my t.csv", "t,1 (x).csv", "it's", "null", "1", " a ", "a=b", "~/é", 'a"b'])
def test_a_typed_override_has_its_value_once_a_shell_and_hydra_have_read_it(path: str) -> None:
    (word,) = shlex.split(type_override("data.file", path))
    with open_loader() as loader:
        (override,) = parse_overrides([word], loader)
    assert override.value() == path
    assert type_override("data.file", "a/t.csv") == "data.file=a/t.csv"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("banana", "'banana'"),
        ([1, None, [False]], "[1, null, [false]]"),
        ({"a": None, "b": {"c": [True]}}, "{a: null, b: {c: [true]}}"),
    ],
)
def test_a_value_is_shown_as_a_user_types_it(value: object, text: str) -> None:
    assert format_value(value) == text


def test_an_error_of_many_lines_is_told_by_its_first() -> None:
    assert first_line(ValueError("\n  too   many\tdogs.\nand cats")) == "too many dogs"
    assert first_line(KeyError()) == "KeyError"


def test_an_error_of_a_worker_of_torch_is_told_by_its_last_line() -> None:
    try:
        raise UnreadableImage("cat/1.png", "empty file")
    except UnreadableImage:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError) as raised:
        wrapped.reraise()  # type: ignore[no-untyped-call]
    assert first_line(raised.value) == "copycat.data.decode.UnreadableImage: cat/1.png: empty file"
    assert describe_error(KeyError()) == "KeyError"
    assert describe_error(ValueError("too many dogs")) == "ValueError: too many dogs"


@pytest.mark.parametrize(
    "text",
    ["it's", 'say "a"', 'it\'s "a"', "a,b [1] {c}", "$HOME `x`", "a\\b", "it\\'s", "end\\", "5", "null", "\\\\${x}"],
)
def test_a_quoted_override_comes_through_shell_and_hydra_as_its_text(text: str) -> None:
    word = subprocess.check_output(["sh", "-c", f"printf %s {quoted_override('data.root', text)}"], text=True)
    (override,) = OverridesParser.create().parse_overrides([word])
    assert OmegaConf.create({"root": override.value()}).root == text
