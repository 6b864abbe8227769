"""Add to the pages of the reference what the source defines: commands, configuration keys and the Python API.

A page in docs/reference/ has its opening; the build appends the rest, so that it cannot go out of date.
"""

import argparse
import io
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout, suppress
from importlib import import_module
from typing import Any
from unittest.mock import patch

from options import Key, read_groups, read_main, read_options
from sphinx.errors import ExtensionError

import copycat
from copycat.cli.arguments import COMMANDS
from copycat.config.flags import Parser
from copycat.config.rules import NAMED_TARGET_GROUPS, find_rule

ANNOUNCEMENT = "The build of the site adds"
"""Begins the last paragraph of a page to which the build adds something, for its readers on GitHub."""


def setup(app: Any) -> dict[str, bool]:
    """Have Sphinx call us with the text of each page."""
    app.connect("source-read", _append)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _append(_app: Any, page: str, source: list[str]) -> None:
    """Replace the line of a page that announces the generated part by that part."""
    if page in PAGES:
        source[0] = source[0].partition(ANNOUNCEMENT)[0] + "\n".join(PAGES[page]())


def describe_commands() -> Iterable[str]:
    """Yield the commands with their arguments, by their parsers."""
    for command in COMMANDS:
        yield f"## copycat {command}\n\n{COMMANDS[command]}.\n"
        parser, printed = _read_parser(command)
        if parser is None:  # a help page of its own
            yield f"```text\n{printed}```\n"
            continue
        inner = next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)
        for name, part in (inner.choices if inner else {"": parser}).items():
            if name:
                yield f"### {part.prog}\n\n{part.description}.\n"
            yield from _describe_parser(part)


def _read_parser(command: str) -> tuple[argparse.ArgumentParser | None, str]:
    """Return the parser of a command; None and its help page where that page is not the parser's."""
    found: list[argparse.ArgumentParser] = []
    parse = Parser.parse_args

    def stop(parser: Parser, *words: Any) -> Any:
        if not parser.add_help:
            return parse(parser, *words)
        found.append(parser)
        raise SystemExit

    run = import_module(f"copycat.cli.{command}").run
    page = io.StringIO()
    with patch.object(Parser, "parse_args", stop), redirect_stdout(page), suppress(SystemExit):
        run(["--help"])
    return (found[0] if found else None), page.getvalue()


def _describe_parser(parser: argparse.ArgumentParser) -> Iterable[str]:
    formatter = argparse.HelpFormatter(parser.prog, width=88)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    yield f"```text\n{formatter.format_help().strip()}\n```\n\n```{{program}} {parser.prog}\n```\n"
    for action in parser._actions:
        words = [formatter._metavar_formatter(action, action.dest)(1)[0]] if action.nargs != 0 else []
        names = ", ".join(" ".join([flag, *words]) for flag in action.option_strings) or words[0]
        yield f"````{{option}} {names}\n{_escape(action.help or '').replace('|', chr(92) + '|')}\n````\n"


def describe_keys() -> Iterable[str]:
    """Yield all options and keys, by the files in conf/.

    Raises:
        ExtensionError: for a key or an option without a comment that says what it is.
    """
    yield "## General keys\n\nIn `conf/copycat.yaml`.\n"
    for key in read_main():
        if not key.name.startswith("data."):
            yield from _describe_key(key.name, {key.default: [""]}, {key.comment: [""]}, "conf/copycat.yaml")
    for group, (default, comment) in read_groups().items():
        options = read_options(group)
        yield f"## {group}\n\n{comment[:1].upper()}{comment[1:]}{'.' if comment else ''}\n"
        has_class = any(option.target for option in options)
        yield f"| `{group}=` | meaning |{' class |' * has_class}\n| --- | --- |{' --- |' * has_class}"
        for option in options:
            if not option.summary:
                raise ExtensionError(f"{option.file}: expected a comment in its first line, which says what it is.")
            mark = " (default)" if option.name == default else ""
            yield f"| `{option.name}`{mark} | {_escape(option.summary)} |{f' {_code(option.target)} |' * has_class}"
        yield ""
        defined: dict[str, list[tuple[str, Key]]] = {}
        for main in read_main() if group == "data" else ():
            if main.name.startswith("data."):
                defined.setdefault(main.name, []).append(("", main))
        for option in options:
            for key in option.keys:
                named = group in NAMED_TARGET_GROUPS and key.name == f"{group}.{option.name}"
                described = Key(key.name, key.default, option.summary.removesuffix(".")) if named else key
                defined.setdefault(key.name, []).append((option.name, described))
        for name, found in defined.items():
            files = "conf/copycat.yaml" if not found[0][0] else f"conf/{group}/{_braces(option for option, _ in found)}"
            defaults = _gather((key.default, option) for option, key in found)
            yield from _describe_key(name, defaults, _gather((key.comment, option) for option, key in found), files)


def _describe_key(
    name: str, defaults: Mapping[str, list[str]], comments: Mapping[str, list[str]], files: str
) -> Iterable[str]:
    """Yield a key; an option that has no comment for it has that of the other options, where these have one."""
    meanings = {comment: options for comment, options in comments.items() if comment}
    if not meanings or ("" in comments and len(meanings) > 1):
        raise ExtensionError(f"{files}: expected a comment behind {name}, which says what it means; got {[*meanings]}.")
    rule = find_rule(name)
    is_node = name.count(".") == 1 and name.split(".")[0] in NAMED_TARGET_GROUPS
    accepted = rule.words if rule else "keys of its class; null leaves it out" if is_node else "what its class takes"
    shown = ", ".join(_code(default) + _of(options, len(defaults)) for default, options in defaults.items())
    meaning = "; ".join(comment + _of(options, len(meanings)) for comment, options in meanings.items())
    meaning = re.sub(r"\b(true|false|null)\b(?=[:;, ])", r"`\1`", f"{_escape(meaning).removesuffix('.')}.")
    meaning = meaning[0].upper() + meaning[1:]
    default = f":default: {shown}\n" if shown else ""
    yield f"````{{confval}} {name}\n:type: {accepted}\n{default}\n{meaning} Source: `{files}`\n````\n"


def _escape(text: str) -> str:
    """Return a text as Markdown, without emphasis and with flags as code."""
    found = re.compile(r"(?P<code>`[^`]*`)|(?<![\w-])(?P<flag>--[a-z][\w-]*)|(?P<mark>[*_])")
    return found.sub(lambda at: at["code"] or (f"`{at['flag']}`" if at["flag"] else f"\\{at['mark']}"), text)


def _of(options: list[str], variants: int) -> str:
    return f" ({', '.join(options)})" if variants > 1 else ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _braces(options: Iterable[str]) -> str:
    names = list(options)
    return f"{names[0] if len(names) == 1 else '{' + ','.join(names) + '}'}.yaml"


def _gather(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    gathered: dict[str, list[str]] = {}
    for value, option in pairs:
        gathered.setdefault(value, []).append(option)
    return gathered


def describe_names() -> Iterable[str]:
    """Yield directives that take the public names' docstrings."""
    for name in copycat.__all__:
        kind = "autoclass" if isinstance(getattr(copycat, name), type) else "autofunction"
        options = ("members:", "undoc-members:", "special-members: __getitem__, __iter__, __len__")
        members = "".join(f"\n    :{option}" for option in options if kind == "autoclass") + "\n"
        yield f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: copycat.{name}{members}```\n"


PAGES: dict[str, Callable[[], Iterable[str]]] = {
    "reference/commands": describe_commands,
    "reference/configuration": describe_keys,
    "reference/python": describe_names,
}
