"""Plant faults in a copy of src/copycat, one at a time, and report which of them the tests catch.

    python tests/planted_faults.py [--suite fast|all] [NAME ...]

The tests that mirror the changed file run first; where they pass, the whole suite follows.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FAST = ("-m", "not slow and not browser and not server")
REQUIRED_OF_FAST = 18
"""Faults of the twenty that the fast tests must catch."""
TESTS_FAILED, INTERRUPTED = 1, 2
"""Exit statuses of pytest."""
STOPPED_BY_X = "xdist.dsession.Interrupted: stopping after"
"""pytest-xdist ends with INTERRUPTED, not TESTS_FAILED, where -x stops it after a failure."""


@dataclass(frozen=True)
class Fault:
    """A mutation of one file: `old`, which occurs there once, becomes `new`."""

    name: str
    file: str
    """Below src/copycat."""
    old: str
    new: str
    tests: str
    """The tests that mirror the file: a folder, a file or, where its file is slow, a single test below tests/."""


# fmt: off
FAULTS = (
    Fault("exit_status", "cli/dispatch.py", "return str(error), USAGE_ERROR", "return str(error), FAILED",
          "cli/test_dispatch.py"),
    Fault("option_range", "cli/arguments.py", "not least <= int(text)", "not 0 <= int(text)", "deploy/test_tta.py"),
    Fault("allow_list", "config/untrusted.py", '"overfit_batches"),', '"overfit_batches", "profiler"),',
          "records/test_hostile.py"),
    Fault("test_objective", "config/rules.py", 'for stage in ("train", "val") for metric',
          'for stage in ("train", "val", "test") for metric', "config/test_search_space.py"),
    Fault("fold_boundary", "data/splitting.py", "folds[turn % count]", "folds[turn % (count - 1)]",
          "data/test_splitting.py"),
    Fault("split_seed", "data/splitting.py", 'derive_seed("split", seed, digest)', 'derive_seed("split", digest)',
          "data/test_splitting.py"),
    Fault("threshold", "models/metrics.py", "predicted = probability > 0.5", "predicted = probability >= 0.5",
          "models/test_metrics.py"),
    Fault("mean_loss", "models/stage_metrics.py", "len(label) if self.averages else 1", "1", "models/test_metrics.py"),
    Fault("best_mode", "training/best_checkpoint.py", 'if self.mode == "min" else', 'if self.mode == "max" else',
          "training/test_train.py"),
    Fault("row_after_resume", "training/history.py", 'int(line.partition(",")[0]) < epoch',
          'int(line.partition(",")[0]) <= epoch', "records/test_metrics_csv.py"),
    Fault("step_seed", "training/seeds.py", 'derive_seed("step", self._key, epoch, batch,',
          'derive_seed("step", self._key, batch,',
          "training/test_seeds.py::test_loggers_callbacks_and_validation_draw_no_random_number_of_the_training"),
    Fault("config_digest", "records/digests.py", "blake2b(repr(value).encode()", "blake2b(repr(key).encode()",
          "reruns/test_rerun.py"),
    Fault("pruner_direction", "sweeps/search/study.py", "if not trial.should_prune():", "if trial.should_prune():",
          "sweeps/search/test_pruning.py"),
    Fault("constraint_sign", "sweeps/search/objectives.py", 'value - limit if way == "<" else limit - value',
          'limit - value if way == "<" else value - limit', "sweeps/search/test_objectives.py"),
    Fault("pareto_front", "sweeps/summary.py", "all(a <= b for a, b", "any(a <= b for a, b", "sweeps/test_summary.py"),
    Fault("ended_trial", "sweeps/sweeper.py", "elif trial.status not in ENDED:", "elif trial.status in ENDED:",
          "sweeps/test_grid.py"),
    Fault("confusion_matrix", "inspection/confusion_counts.py", "(label, probability.argmax(1))",
          "(probability.argmax(1), label)", "inspection/callbacks/test_confusion.py"),
    Fault("html_escape", "inspection/reports/page.py", "autoescape=True", "autoescape=False",
          "inspection/reports/test_page.py"),
    Fault("view_count", "deploy/predictor.py", "for view in range(1, self.views):", "for view in range(self.views):",
          "deploy/test_tta.py"),
    Fault("trained_images", "deploy/evaluation.py", "~self.trained[part]", "self.trained[part]",
          "deploy/test_ensemble.py"),
)
# fmt: on


def copy_checkout(to: Path) -> None:
    """Copy the files that git tracks or would track, as they are in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def run_python(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a checkout, with that checkout's package before the editable installation."""
    command = [sys.executable, *arguments]
    environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def check_imports(checkout: Path) -> None:
    """Exit where the package or its configuration would come from anywhere but the copy."""
    code = "import copycat; from copycat.config.places import CONF; print(copycat.__file__, CONF, sep='\\n')"
    done = run_python(checkout, "-c", code)
    paths = [Path(line).resolve() for line in done.stdout.splitlines()]
    if len(paths) != 2 or not all(path.is_relative_to(checkout) for path in paths):
        sys.exit(f"planted_faults: expected copycat and conf in {checkout}; got {done.stdout}{done.stderr}")


def find_failure(checkout: Path, *arguments: str) -> str | None:
    """Run pytest up to the first failure; return the failed test, or None where all pass.

    Raises:
        SystemExit: where pytest could not run the tests.
    """
    done = run_python(checkout, "-m", "pytest", "-x", "-q", "-n", "2", "-p", "no:randomly", *arguments)
    if done.returncode == 0:
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR ")) and "::" in line]
    stopped = done.returncode == INTERRUPTED and STOPPED_BY_X in done.stdout
    if not lines or not (stopped or done.returncode == TESTS_FAILED):
        sys.exit(f"planted_faults: pytest {arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return lines[0].partition(" ")[2].partition(" - ")[0]


def check_fault(fault: Fault, checkout: Path) -> None:
    """Exit where `old` does not occur exactly once, or the tests do not exist."""
    count = (checkout / "src" / "copycat" / fault.file).read_text().count(fault.old)
    if count != 1:
        sys.exit(f"planted_faults: {fault.name}: expected {fault.old!r} once in {fault.file}; got it {count} times")
    file, _, test = fault.tests.partition("::")
    path = checkout / "tests" / file
    if not path.exists() or (test and f"def {test}(" not in path.read_text()):
        sys.exit(f"planted_faults: {fault.name}: expected tests/{fault.tests}; got no such tests")


def plant(fault: Fault, checkout: Path, selection: tuple[str, ...]) -> str | None:
    """Run the tests with one fault; return the test that catches it, or None."""
    path = checkout / "src" / "copycat" / fault.file
    text = path.read_text()
    path.write_text(text.replace(fault.old, fault.new))
    try:
        return find_failure(checkout, *selection, f"tests/{fault.tests}") or find_failure(checkout, *selection)
    finally:
        path.write_text(text)


def main() -> None:
    """Plant the faults, print a line for each, and exit with 1 where too few are caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=("fast", "all"), default="fast", help="tests of make test, or all tests")
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults to plant; all of them by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {fault.name for fault in FAULTS}:
        parser.error(f"NAME: expected one of {', '.join(fault.name for fault in FAULTS)}; got {', '.join(unknown)}")
    faults = [fault for fault in FAULTS if not arguments.names or fault.name in arguments.names]
    is_fast, caught = arguments.suite == "fast", 0
    with tempfile.TemporaryDirectory(prefix="planted_faults.") as folder:
        checkout = Path(folder).resolve()
        copy_checkout(checkout)
        check_imports(checkout)
        for fault in faults:
            check_fault(fault, checkout)
        for fault in faults:
            start = time.monotonic()
            test = plant(fault, checkout, FAST if is_fast else ())
            caught += test is not None
            result = f"caught      {test}" if test else "NOT CAUGHT"
            print(f"{fault.name:18} {result}  {time.monotonic() - start:.0f} s", flush=True)
    print(f"{caught} of {len(faults)} faults caught")
    required = REQUIRED_OF_FAST if is_fast and len(faults) == len(FAULTS) else len(faults)
    sys.exit(0 if caught >= required else 1)


if __name__ == "__main__":
    main()
