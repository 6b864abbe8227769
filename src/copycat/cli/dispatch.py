"""Run the command that the first word names, and end the process with its exit status."""

import atexit
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stderr, suppress
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import NoReturn

from copycat import __version__
from copycat.cli.arguments import COMMANDS
from copycat.cli.exit_status import DONE, FAILED, INTERRUPTED, USAGE_ERROR
from copycat.config import familiar_words
from copycat.config.errors import FailedDownloadError, JoinError, UserError, hides_interrupt
from copycat.config.extras import missing_package_error
from copycat.config.flags import Parser
from copycat.config.printable import print_line, printable_lines
from copycat.config.suggestions import did_you_mean, first_line
from copycat.training.standard_streams import OutputError, printing_on_first_rank, streams_of_command

PACKAGE_COMMANDS = ("rerun", "pack", "unpack", "train", "best", "data", "export")
"""Commands that take packages, or other files with such a name."""
TRAINING = ("train", "resume", "prove", "rerun")
"""Commands that continue when standard output is closed."""


def command() -> NoReturn:
    """Run `main` from a shell and skip interpreter teardown, which takes 0.2 s once torch is imported."""
    os.environ["PYTHONSAFEPATH"] = "1"  # no process that this one starts imports from the working directory
    if "OMP_WAIT_POLICY" not in os.environ:
        # libgomp's idle threads spin for milliseconds by default, and take the processors from other runs: with this
        # count two at once take hardly longer than one after the other, and one alone 1 or 2 % longer
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    try:
        main()
    except SystemExit as end:
        others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
        if isinstance(end.code, int) and all(thread.daemon for thread in others):
            atexit._run_exitfuncs()
            with suppress(OSError, ValueError, AttributeError):  # closed or full: Python says so, as it ends by itself
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(end.code)
        raise


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    trains = bool(words) and words[0] in TRAINING
    mutes = printing_on_first_rank() if trains else nullcontext()
    with streams_of_command(prints_result=not trains) as output, mutes:
        try:
            _run_and_exit(words, debug=debug)
        except SystemExit as end:
            if end.code == DONE and (lost := output.find_loss()):
                print(f"copycat: failed: standard output: {lost.strerror}.", file=sys.stderr)
                sys.exit(FAILED)
            raise


def run_command(words: Sequence[str]) -> int:
    """Run one command and return its exit status.

    Raises:
        UserError: where the call is wrong.
    """
    first, *rest = words or ["--help"]
    if first in ("-sc", "--shell-completion"):
        from copycat.config.application import complete

        complete(words, commands=list(COMMANDS))
        return DONE
    if first in COMMANDS:
        _refuse_packages(first, rest)
        run: Callable[[Sequence[str]], int | None] = import_module(f"copycat.cli.{first}").run
        return run(rest) or DONE  # a command that cannot fail returns nothing
    known = [*COMMANDS, "--help", "-h", "--version"]
    if first not in known:
        familiar = familiar_words.COMMANDS.get(first)
        hint = f" Did you mean copycat {familiar}?" if familiar else did_you_mean(first, known, before="copycat ")
        raise UserError(f"expected one of {', '.join(COMMANDS)}; got {first!r}.{hint}")
    _make_top_parser().parse_args([first, *rest])
    return DONE


def _refuse_packages(command: str, words: Sequence[str]) -> None:
    """Explain how to use a package with a command that reads folders."""
    if command in PACKAGE_COMMANDS:
        return
    for word in words:
        if word.endswith(".zip") and (path := Path(word)).is_file():
            from copycat.archives.zip_layout import is_archive

            if is_archive(path):
                typed, folder = quote(str(path)), quote(path.stem)
                raise UserError(
                    f"{path}: expected a folder; got a package. Type copycat unpack {typed} {folder}, and then copycat"
                    f" {command} {folder}/run, or {folder}/sweep."
                )


def _make_top_parser() -> Parser:
    """Make the parser of `copycat` without a command: its help lists them all."""
    top = Parser(
        prog="copycat",
        description="Train, sweep and inspect image classifiers from configuration.",
        epilog="Start with: copycat train. Any command: --debug shows where an error came from.",
    )
    top.add_argument("--version", action="version", version=f"copycat {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    return top


def _run_and_exit(words: Sequence[str], *, debug: bool) -> NoReturn:
    try:
        sys.exit(run_command(words))
    except OutputError:  # the reader, as in `copycat runs | head`, has seen enough; `main` names any other loss
        sys.exit(DONE)
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            import traceback

            print(printable_lines("".join(traceback.format_exception(error))), end="", file=sys.stderr)
        line, status = _describe_failure(error)
        with redirect_stderr(sys.__stderr__) if isinstance(error, JoinError) else nullcontext():  # of any rank
            print_line(f"copycat: {line}", error=True)
        sys.exit(status)


def _describe_failure(error: BaseException) -> tuple[str, int]:
    """Return the line that says why a command failed, and the exit status."""
    if hides_interrupt(error):
        return "interrupted.", INTERRUPTED
    if isinstance(error, UserError):
        return str(error), FAILED if isinstance(error, FailedDownloadError) else USAGE_ERROR
    if missing := missing_package_error(error, wanted_by="this command"):
        return str(missing), USAGE_ERROR
    return f"failed: {type(error).__name__}: {first_line(error)}. See where: add --debug.", FAILED
