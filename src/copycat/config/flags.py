"""Parse the command line of `copycat train`: the flags of Hydra that apply to it, and overrides."""

import argparse
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from shlex import quote
from typing import Any, NoReturn

from copycat.config.errors import UserError
from copycat.config.suggestions import did_you_mean, one_of

UNSUPPORTED_FLAGS = {
    **dict.fromkeys(("--config-name", "-cn"), "Type experiment=NAME"),
    **dict.fromkeys(
        ("--config-path", "-cp", "--config-dir", "-cd"), "Put options into ./conf, experiments into ./experiments"
    ),
    "--experimental-rerun": "Type copycat rerun RUN",
}
"""Flags of other Hydra programs, with what to type instead."""


class Parser(argparse.ArgumentParser):
    """Parse flags and other words in any order, and report a mistake as a UserError of one line."""

    _is_intermixing = False
    flag_hint = ""
    """Hint for a word that resembles no flag."""

    def error(self, message: str) -> NoReturn:
        """Raise argparse's message in the format of a UserError."""
        message = message.replace("the following arguments are required:", "expected").removeprefix("argument ")
        message = message.replace("not allowed with argument", "expected alone; got also")
        raise UserError(f"{message}{'' if 'got' in message else '; got none'}. Type {self.prog} --help.")

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument; words of which there may be none are never reported as missing."""
        action = super().add_argument(*names, **options)
        action.required = action.required and action.nargs != "*"
        return action

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments, and refuse unknown ones.

        `parse_args` would refuse them too, but with the flags of the main command in place of a subcommand's.
        """
        if self._is_intermixing:  # one of argparse's two passes over flags and other words
            return super().parse_known_args(args, namespace)
        if self._subparsers is None:
            # before argparse misses an argument that such a word takes the place of
            for word in takewhile(lambda word: word != "--", args):
                if re.match(r"-+[^-\d.\s]\S*$", word) and not self._knows(word):
                    self._refuse_flag(word)
            self._is_intermixing = True
            try:
                arguments, more = self.parse_known_intermixed_args(args, namespace)
            finally:
                self._is_intermixing = False
        else:
            arguments, more = super().parse_known_args(args, namespace)
        if more and more[0].startswith("-"):
            self._refuse_flag(more[0])
        if more:
            raise UserError(f"{more[0]}: expected no more arguments. Type {self.prog} --help.")
        return arguments, more

    def _knows(self, word: str) -> bool:
        """Return whether a word is a flag, an abbreviation of one, or one with its value."""
        name = word.partition("=")[0]
        return any(flag.startswith(name) or (len(flag) == 2 and word.startswith(flag)) for flag in self._flags())

    def _flags(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings]

    def _refuse_flag(self, word: str) -> NoReturn:
        file = f" Type {quote(f'./{word}')} for the file." if Path(word).exists() else ""
        hint = file or did_you_mean(word, self._flags()) or f"{self.flag_hint} Type {self.prog} --help."
        raise UserError(f"{word}: no such flag; expected {one_of(self._flags())}.{hint}")

    def _check_value(self, action: argparse.Action, value: str) -> None:
        if action.choices is not None and value not in action.choices:
            before = f"{self.prog} " if not action.option_strings else f"{action.option_strings[0]} "
            where, known = before.removeprefix("copycat ").rstrip(), ", ".join(action.choices)
            hint = did_you_mean(value, action.choices, before=before)
            raise UserError(f"{where}: expected one of {known}; got {value!r}.{hint}")


def parse_flags(words: Sequence[str]) -> tuple[argparse.Namespace, list[str], list[str]]:
    """Separate flags from overrides, in any order; return the parsed flags, the flags and the overrides as typed.

    Raises:
        UserError: for an unknown flag, or flags that do not go together.
    """
    parser = Parser(prog="copycat train", add_help=False, allow_abbrev=False)
    parser.flag_hint = " A key has no dashes, as in optimizer.lr=1e-3."
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--hydra-help", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--package", "-p")
    parser.add_argument("--resolve", action="store_true")
    kinds = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=kinds)
    takes_a_word = {"--cfg", "-c", "--package", "-p", "--info", "-i"}
    for flag in (word.partition("=")[0] for word in words):
        if flag in UNSUPPORTED_FLAGS:
            raise UserError(f"{flag}: no such flag. {UNSUPPORTED_FLAGS[flag]}.")
    flags: list[str] = []
    overrides: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        is_flag = word.startswith("-") or (before in takes_a_word and "=" not in word)
        (flags if is_flag else overrides).append(word)
    arguments = parser.parse_args(flags)
    if arguments.multirun and (arguments.cfg or arguments.info):
        raise UserError("-m: expected a sweep, or --cfg or --info for one run; got both.")
    if arguments.package and not arguments.cfg:
        raise UserError("--package: expected --cfg job before it. Type copycat train --help.")
    if arguments.resolve and not (arguments.cfg or arguments.help):
        raise UserError("--resolve: expected --cfg job before it. Type copycat train --help.")
    return arguments, flags, overrides
