"""Parse overrides by Hydra's grammar, and check their options, with a one-line error for each mistake."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from shlex import quote
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString, Sweep
from hydra.errors import HydraException

from copycat.config.errors import UserError
from copycat.config.familiar_words import familiar_option
from copycat.config.renamed_keys import renamed_key_error
from copycat.config.suggestions import did_you_mean, format_value, one_of, quoted_override, type_override

ALTERNATIVE_HINTS = {
    "model": " For a network of torchvision or timm, type model=torchvision model.name={0}, or model=timm.",
    "data": " For a folder of images, type data=folder data.root={0}.",
    "trainer": " For a type of device, type trainer.accelerator={0}.",
}
"""Hint for an option that resembles no option of its group."""
SWEEP_HINT = " For a sweep, type copycat train -m; in Python, call copycat.sweep."
MULTIPLE_CHOICE_GROUPS = ("callbacks", "logger", "metrics", "experiment")
"""Groups that take several options at once. In other groups, two options would merge into an invalid node."""
MANAGED_KEYS = {
    "hydra.mode": "Type -m for a sweep",
    "hydra.run.dir": "Type output_dir=FOLDER",
    "hydra.sweep.dir": "Type output_dir=FOLDER",
    "hydra.sweep.subdir": "Type output_dir=FOLDER",
    "hydra.output_subdir": "Type output_dir=FOLDER",
    "hydra.job.chdir": "Type output_dir=FOLDER",
}
"""Keys of Hydra that would create folders beside the run folder, with a hint for each."""
_PATTERN = re.compile(r"""([+]{0,2}data\.groups)=([^'"].*?[^'"\\])""")
"""A regular expression as the shell passes it, whose characters Hydra's grammar would refuse."""
_PLAIN = re.compile(r"[+]{0,2}[A-Za-z_][\w.]*=([\w.+-]+|'[\w./+-]+')")
_NUMBER = re.compile(r"([A-Za-z_][\w.]*=)(-?(?:0|[1-9][0-9]*)(\.[0-9]+(?:e-?[0-9]+)?)?)")
_QUOTED_NUMBER = re.compile(r"([A-Za-z_][\w.]*=)'([0-9]+)'")
_ITEM = r"""\s*(?:"[^"]*"|'[^']*'|[^\s\[\]{}()$'"\\,=][^\[\]{}()$'"\\,=]*)"""
_LIST = re.compile(rf"([+]{{0,2}}[A-Za-z_][A-Za-z0-9_./]*)=\[({_ITEM}\s*(?:,{_ITEM}\s*)*)\]")
"""A flat list, whose values may have quotes."""
_UNQUOTED_VALUE = re.compile(r"""([+]{0,2}[A-Za-z_][A-Za-z0-9_./]*)=([^\[\]{}()$'"\\,=]+)""")


@lru_cache(8)  # a loader lives for one composition
def list_groups(loader: ConfigLoaderImpl) -> Sequence[str]:
    """Return the config groups, without Hydra's own, which would be a poor hint for a mistyped word."""
    # the loader itself copies its whole repository before it answers
    return [group for group in loader.repository.get_group_options("", ObjectType.GROUP) if group != "hydra"]


@lru_cache(64)
def list_options(group: str, loader: ConfigLoaderImpl) -> Sequence[str]:
    """Return the names of a group's options."""
    return loader.repository.get_group_options(group, ObjectType.CONFIG)


def parse_overrides(words: Sequence[str], loader: ConfigLoaderImpl) -> list[Override]:
    """Parse words of the command line as overrides; raise a UserError for the first that is none."""
    return [_parse(word, loader) for word in words]


def _parse(word: str, loader: ConfigLoaderImpl) -> Override:
    if override := parse_plain(word):
        return override
    parser = OverridesParser(_make_functions(), loader)
    try:
        try:
            override = parser.parse_overrides([word])[0]
        except HydraException:
            # Hydra wants quotes around a path such as data.root=/home/me/Kätzchen, around a regular expression, and
            # around a name such as Kätzchen in a list; users should not need them
            if (quoted := _with_quotes(word)) is None:
                raise
            override = parser.parse_overrides([quoted])[0]
    except HydraException as error:
        raise UserError(f"expected KEY=VALUE, as in optimizer.lr=1e-3; got {word!r}.{_hint(word, loader)}") from error
    if not override.key_or_group:
        raise UserError(f"expected KEY=VALUE, as in optimizer.lr=1e-3; got {word!r}.")
    if override.package is not None:
        raise UserError(f"expected {override.key_or_group}=VALUE, without an @; got {word!r}.")
    value: Any = override.value()
    items = value if isinstance(value, list) else getattr(value, "list", [])
    if places := [place for place, item in enumerate(items) if isinstance(item, (Sweep, Glob))]:
        key = override.key_or_group
        hint = f" To vary one item of a list, type {key}.{places[0]}=VALUES." if items is value else ""
        raise UserError(f"{key}: expected values, or one range, glob or interval alone; got {word!r}.{hint}")
    return override


def _with_quotes(word: str) -> str | None:
    """Return an override with quotes where Hydra's grammar may want them; None for other ones."""
    if plain := _UNQUOTED_VALUE.fullmatch(word) or _PATTERN.fullmatch(word):
        return f"{plain[1]}='{plain[2]}'"
    if listed := _LIST.fullmatch(word):
        values = (value.strip() for value in re.findall(_ITEM, listed[2]))
        quoted = ",".join(value if value.isascii() or value[0] in "\"'" else f"'{value}'" for value in values)
        return f"{listed[1]}=[{quoted}]"
    return None


@lru_cache(1024)  # a trial's words are parsed where it is proposed, and where it is run
def parse_plain(word: str) -> Override | None:
    """Parse an override of one word or number, which needs no loader; None where it is another one, or none.

    The grammar takes a millisecond for each word; a number is put into the override of another word of its key.
    """
    if not _PLAIN.fullmatch(word):
        return None
    if (number := _NUMBER.fullmatch(word)) and (like := _parse_by_grammar(f"{number[1]}x")):
        return replace(like, _value=(float if number[3] else int)(number[2]), input_line=word)
    if (quoted := _QUOTED_NUMBER.fullmatch(word)) and (like := _parse_by_grammar(f"{quoted[1]}'x'")):
        return replace(like, _value=QuotedString(quoted[2], Quote.single), input_line=word)
    return _parse_by_grammar(word)


@lru_cache(1024)
def _parse_by_grammar(word: str) -> Override | None:
    try:
        return OverridesParser(_make_functions()).parse_overrides([word])[0]
    except HydraException:
        return None


_make_functions = cache(create_functions)
"""Return the functions of Hydra's grammar, whose signatures Hydra would inspect for each word."""


def _hint(word: str, loader: ConfigLoaderImpl) -> str:
    if found := re.fullmatch(r"([+]{0,2}[\w./]+)=(.*)", word):
        return _quoting_hint(*found.groups())
    if "=" in word:
        return ""
    groups = list_groups(loader)
    if word in groups:
        return f" Type {word}=OPTION."
    options = {option: group for group in groups for option in list_options(group, loader)}
    if word in options:
        return f" Did you mean {options[word]}={word}?"
    if Path(word).is_dir():
        return f" For a folder of images, type data=folder {type_override('data.root', word)}."
    return did_you_mean(word, groups, after="=OPTION")


def _quoting_hint(key: str, value: str) -> str:
    """Return a hint how to quote a value that Hydra's grammar refuses."""
    choice = re.fullmatch(r"choice\((.*)\)", value)
    if choice and "null" in (words := [word.strip() for word in choice[1].split(",")]):  # Hydra's choice takes none
        return f" Type {key}={','.join(words)}."
    text = re.sub(r"""^(["'])(.*)\1$""", r"\2", value)
    if re.search("[\"']", text) and not re.search(r"^[\[{]|^\w+\(|\$\{", text):
        return f" Type {quoted_override(key, text)}."
    return " Quote what has brackets, commas or quotes: \"KEY='VALUE'\"."


def input_lines(parsed: Sequence[Override]) -> list[str]:
    """Return overrides as they were typed."""
    return [str(override.input_line) for override in parsed]


def check_override(override: Override, loader: ConfigLoaderImpl) -> None:
    """Raise a UserError unless an override has one value, sets no managed key and names an existing option."""
    group = override.key_or_group
    if override.is_sweep_override():
        raise UserError(f"{group}: expected one value; got {override.input_line!r}.{SWEEP_HINT}")
    if group in MANAGED_KEYS:
        raise UserError(f"{group}: expected nothing, as Copycat sets it; got a value. {MANAGED_KEYS[group]}.")
    if override.is_delete() or not (group in list_groups(loader) or "/" in group):
        return
    value = override.value()
    for name in value if isinstance(value, list) and group in MULTIPLE_CHOICE_GROUPS else [value]:
        inside, _, last = f"{group}/{name}".rpartition("/")
        if last in list_options(inside, loader):
            continue
        options = list_options(group, loader)
        if not options:
            raise renamed_key_error(group) or UserError(f"{group}: no such group; got {override.input_line!r}.")
        hint = did_you_mean(familiar_option(str(name), options) or str(name), options, before=f"{group}=")
        if not hint and isinstance(name, str):
            hint = ALTERNATIVE_HINTS.get(group, "").format(quote(name))
        wrong = UserError(f"{group}: expected one of {one_of(options)}; got {format_value(name)}.{hint}")
        raise renamed_key_error(f"{group}.{name}") or wrong


def expand_values(override: Override) -> list[str]:
    """Expand an override into one a value, as a sweep runs them; raise a UserError for an interval or no value."""
    word = str(override.input_line)
    if not override.is_sweep_override():
        return [word]
    if not override.is_discrete_sweep():
        raise UserError(
            f"{word}: expected values, a choice, a range or a glob; got an interval."
            " For a search, type hydra/sweeper=optuna."
        )
    try:
        values = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    except ValueError as error:  # a range whose step is 0
        raise UserError(f"{word}: expected a range that ends; {error}.") from error
    if not values:
        raise UserError(f"{word}: expected at least one match; got none.")
    return values


def as_words(overrides: Sequence[str], keys: Mapping[str, Any] = {}) -> list[str]:
    """Return overrides, and values by key, as a list of overrides.

    Raises:
        UserError: where they are no list, as a string, whose letters would be taken for overrides; or for a key twice.
    """
    if isinstance(overrides, str) or not isinstance(overrides, Iterable):
        hint = f" Type {overrides.split()}." if isinstance(overrides, str) else ""
        raise UserError(f"overrides: expected a list of strings; got {overrides!r}.{hint}")
    words = [*map(str, overrides)]
    for key, value in keys.items():
        if twice := next((word for word in words if word.partition("=")[0] == key), None):
            raise UserError(f"{key}: expected one value; got {twice!r} and {key}={value!r}.")
    return [*words, *(f"{key}={_as_word(value)}" for key, value in keys.items())]


def _as_word(value: Any) -> str:
    return format_value(value) if value is None or isinstance(value, (bool, list, dict)) else str(value)
