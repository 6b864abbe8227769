"""Print the progress and the end of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

from copycat.cli.arguments import OUTPUTS
from copycat.config.printable import print_line

if TYPE_CHECKING:
    from copycat.training.result import RunResult


def print_progress(line: str) -> None:
    """Print one line about the work to standard error."""
    print_line(f"copycat: {line}", error=True)


def print_outcome(outcome: "RunResult", *, root: Path, max_epochs: int | None) -> None:
    """Print a run's metrics, what to type next and, where it failed, why; `root` is its `output_dir`.

    Raises:
        KeyboardInterrupt: where the run was interrupted.
    """
    from copycat.training.summary import next_commands, show

    show(outcome.folder, outcome.manifest, max_epochs=max_epochs)
    print(next_commands(outcome.folder, status=outcome.status, root=None if root == OUTPUTS else root))
    if outcome.status == "failed":
        log = outcome.folder / "train.log"
        more = f" More in {log}." if log.exists() else ""
        print_line(f"copycat: failed: {outcome.manifest['error']}.{more}", error=True)
    if outcome.status == "interrupted":
        raise KeyboardInterrupt
