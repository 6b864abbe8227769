"""Compare the accuracy that `copycat best` claims with that on images which it never saw, on 20 folders.

    COPYCAT_DATA=data/catvnoncat python benchmarks/best.py --minutes 2 --to best.jsonl   # --list, --only NAME …

Each folder is searched by `copycat best` in a process of its own, with a cache of its own. The figure it claims is that
of nested cross-validation with its 95 % interval; where the time was over before an outer fold was measured, there is
none. The chosen model is then evaluated on the untouched images, which are of the same distribution. The folders have 2
to 10 classes: three divisions of the 258 different photographs of the cats into halves, images that scikit-learn and
matplotlib ship, and drawn ones, from easy ones to noise in which no model can tell the classes apart. The interval
covers the accuracy where that lies in it. An untouched part of n images has itself a standard error of up to 0.5 / √n:
4 points for the 128 of the cats, less than 2.4 for the others, of 439 and more. So somewhat fewer than 95 % are
expected.

Each record goes to the file of --to as soon as it is there; the same command does the remaining folders and prints the
table of all. The exit status is 1 if so few intervals cover the accuracy that the probability of it is below 5 %, were
each of them right with 95 %, or if a search failed.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import machine
from image_sets import ImageSet, list_sets

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Record:
    """Hold what was measured on one folder."""

    name: str
    minutes: float
    candidates: str | None
    seed: int
    images: int
    classes: int
    untouched_images: int
    seconds: float
    """Wall time of `copycat best`."""
    chosen: str = ""
    is_final: bool = False
    """Whether the model was trained on all images."""
    claimed: float = math.nan
    low: float = math.nan
    high: float = math.nan
    outer_folds: int = 0
    untouched: float = math.nan
    """Accuracy on the untouched images."""
    not_tried: dict[str, str] = field(default_factory=dict)
    """Reasons, by name, of candidates that were left out."""
    error: str | None = None

    @property
    def is_covered(self) -> bool:
        """Return whether the interval has the accuracy on the untouched images."""
        return self.low <= self.untouched <= self.high

    @property
    def row(self) -> str:
        """Return a row of the table."""
        cells = [self.name, f"{self.images:,}", str(self.classes), f"{self.untouched_images:,}"]
        if self.error is None:
            cells += [self.chosen + ("" if self.is_final else " (not final)"), f"{self.claimed:.3f}"]
            interval = f"{self.low:.3f} to {self.high:.3f}" if self.outer_folds else "none"
            cells += [interval, str(self.outer_folds), f"{self.untouched:.3f}"]
            cells += [("yes" if self.is_covered else "NO") if self.outer_folds else "–"]
        else:
            cells += [self.error.replace("|", "/"), *["–"] * 5]
        return f"| {' | '.join([*cells, f'{self.seconds:.0f}'])} |"


HEAD = (
    "| folder | images | classes | untouched images | chosen | claimed accuracy | 95 % interval | outer folds |"
    " untouched accuracy | covered | seconds |"
)


def run_copycat(words: Sequence[str], at: Path) -> str:
    """Run Copycat in a process, with a cache in its working folder, and return its output.

    Raises:
        RuntimeError: where it failed, with its last line.
    """
    done = subprocess.run(
        [sys.executable, "-m", "copycat", *words],
        cwd=at,
        env=os.environ | {"COPYCAT_CACHE": str(at / "cache")},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise RuntimeError(f"exit status {done.returncode}: {lines[-1]}")
    return done.stdout


def evaluate(run: Path, folder: Path, at: Path) -> float:
    """Return the accuracy of a run on a folder of images.

    Raises:
        RuntimeError: where Copycat failed.
    """
    found = json.loads(run_copycat(["evaluate", str(run), "data=folder", f"data.root={folder}", "--json"], at))
    return next(float(one["value"]) for one in found["metrics"] if one["metric"] == "accuracy")


def read_claim(folder: Path, untouched: Path, at: Path) -> dict[str, Any]:
    """Return what a search claims and found, as fields of a record.

    Raises:
        RuntimeError: where nothing was measured.
    """
    from copycat.deploy.best_result import read_result

    result = read_result(folder)
    if result is None or result.measured is None:
        raise RuntimeError("nothing was measured")
    claimed, low, high = result.accuracy
    return {
        "chosen": result.name,
        "is_final": result.is_final,
        "claimed": claimed,
        "low": low,
        "high": high,
        "outer_folds": result.measured.folds,
        "not_tried": result.search.plan.not_tried,
        "untouched": evaluate(result.run.folder, untouched, at),
    }


def measure(one: ImageSet, options: argparse.Namespace, at: Path) -> Record:
    """Search the best model of a folder, and evaluate it on untouched images."""
    images, untouched, classes = one.write(at, seed=options.seed + one.number)
    words = ["best", str(at / "best"), "--minutes", str(options.minutes), "--folder", str(at / "search")]
    words += ["--candidates", options.candidates] if options.candidates else []
    began, error, claim = time.perf_counter(), None, dict[str, Any]()
    try:
        run_copycat(words, at)
        seconds = time.perf_counter() - began
        claim = read_claim(at / "search", at / "untouched", at)
    except RuntimeError as failure:
        seconds, error = time.perf_counter() - began, str(failure)
    return Record(
        **(key_of(one.name, options) | claim),
        images=images,
        classes=classes,
        untouched_images=untouched,
        seconds=seconds,
        error=error,
    )


def key_of(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields by which a record of an earlier call counts for this one."""
    return {"name": name, "minutes": options.minutes, "candidates": options.candidates, "seed": options.seed}


def is_same(record: Record, options: argparse.Namespace) -> bool:
    """Return whether a record is of a call with the same options."""
    return vars(record).items() >= key_of(record.name, options).items()


def read_records(file: Path | None) -> list[Record]:
    """Return the records of earlier calls, without those of searches that failed."""
    if file is None or not file.exists():
        return []
    records = [Record(**json.loads(line)) for line in file.read_text().splitlines()]
    return [record for record in records if record.error is None]


def summarize(records: Sequence[Record]) -> int:
    """Print how many intervals cover the accuracy, and return the exit status."""
    measured = [record for record in records if record.error is None and record.outer_folds]
    if not measured:
        print("no folder was measured")
        return 1
    covered, count = sum(record.is_covered for record in measured), len(measured)
    so_few = sum(math.comb(count, k) * LEVEL**k * (1 - LEVEL) ** (count - k) for k in range(covered + 1))
    ahead = fmean(record.claimed - record.untouched for record in measured)
    width = fmean(record.high - record.low for record in measured)
    print(f"\ncovered: {covered} of {count} intervals; probability of so few, were each right with 95 %: {so_few:.2f}")
    print(f"claimed less untouched accuracy: {ahead:+.3f} on average; width of the intervals: {width:.3f} on average")
    return int(so_few < 1 - LEVEL or any(record.error is not None for record in records))


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="of each search (default: 2)")
    parser.add_argument("--candidates", metavar="NAME,…", help="of each search (default: the whole portfolio)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[one.name for one in list_sets()])
    parser.add_argument("--to", type=Path, metavar="FILE", help="JSON lines, read first and appended to")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn images and of the divisions: by steps of 100")
    parser.add_argument("--list", action="store_true", help="list the folders")
    return parser.parse_args()


def main() -> int:
    """Measure and print; return the exit status."""
    options = parse_options()
    sets = [one for one in list_sets() if not options.only or one.name in options.only]
    if options.list:
        print(*(f"{one.name:20} {one.images:5,} images" for one in sets), sep="\n")
        return 0
    print(machine.description(), HEAD, "| --- " * (HEAD.count("|") - 1) + "|", sep="\n", flush=True)
    known = {record.name: record for record in read_records(options.to) if is_same(record, options)}
    records = []
    for one in sets:
        record = known.get(one.name)
        if record is None:
            with tempfile.TemporaryDirectory() as name:
                record = measure(one, options, Path(name))
            if options.to:
                with options.to.open("a") as file:
                    file.write(json.dumps(asdict(record)) + "\n")
        records.append(record)
        print(record.row, flush=True)
    return summarize(records)


if __name__ == "__main__":
    sys.exit(main())
