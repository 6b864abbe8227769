"""Simulate sweeps, and count how often the race of `sweep.prove=true` names a wrong winner, and finds the right one.

    python benchmarks/prove.py [--sweeps 1000] [--images 200 1000 5000 20000] [--candidates 16 2] [--write]

A simulated network classifies an image correctly where a sum is above 0: of the skill of its configuration, what it
learned from its training images, the luck of its seed, the image's ease for all networks and for this configuration,
and noise of the single training. The images' ease and what can be learned from each are drawn once for a sweep, as its
images are the same in all rounds: chance in the images does not average out over rounds, which is what makes folds of
the same images hard to compare. Accuracies are about 80 %. A round trains each remaining candidate on all folds of a
new division of the images.

Printed for candidates that are all equal, and with one that is better by 0.03 in truth: the share of sweeps with a
winner that is not better, and with the right one; the share of trainings of all rounds of all candidates that were
run; and how often the first row of a table of single runs is no better than the others, or the right one. The figure
that is reported of a right winner is of rounds after the race: how often its 95 % interval has the true difference.
With --write the table goes to docs/how-to/prove.md too. The exit status is 1 if more than 5 % of the sweeps of equal
candidates have a winner.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import NormalDist, fmean

import machine
import numpy as np
from numpy.typing import NDArray
from rounds import Limit, report_limits

from copycat.sweeps.race.decision import LEVEL, RaceRules, compare, replay
from copycat.sweeps.race.plan import REPORT_ROUNDS

ACCURACY, ADVANTAGE = 0.8, 0.03
EASE, OWN_EASE, NOISE = 0.6, 0.2, 0.2
"""Shares of the variance of an image's sum."""
LESSON, LUCK = 1.0, 0.05
"""Standard deviations of what a configuration learns from an image, of which a network has the mean over its training
images, and of the luck of a seed: with 1,000 images the first changes the accuracy by 1.0 points, the second by 1.4."""


PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "prove.md"
TABLE = re.compile(r"(?<=<!-- simulation -->\n).*?(?=<!-- end -->)", re.DOTALL)


@dataclass
class Outcome:
    """Hold what happened in one sweep."""

    kind: str
    winner: int | None
    first: int
    """The best of single runs."""
    share: float
    """Trainings that the race needed, of those of all rounds of all candidates."""
    covered: bool | None
    """Whether the reported interval of the winner's advantage over the runner-up has the true difference."""


def skill(accuracy: float) -> float:
    """Return the skill that gives a true accuracy."""
    return NormalDist().inv_cdf(accuracy)


class SimulatedSweep:
    """Draw the accuracies of candidates on folds, for any rounds."""

    def __init__(
        self, accuracies: list[float], images: int, folds: int, lesson: float, rng: np.random.Generator
    ) -> None:
        """Draw the images."""
        self.rng, self.images, self.folds, self.accuracies = rng, images, folds, accuracies
        ease = rng.normal(scale=EASE**0.5, size=images) + rng.normal(
            scale=OWN_EASE**0.5, size=(len(accuracies), images)
        )
        self.lessons = rng.normal(scale=lesson, size=(len(accuracies), images))
        self.sums = (np.array([skill(one) for one in accuracies])[:, None] + ease).astype(np.float32)

    def round(self, candidates: list[int]) -> NDArray[np.float64]:
        """Return the accuracies of one round, [candidates, folds]."""
        noise = self.rng.standard_normal((len(candidates), self.images), dtype=np.float32) * np.float32(NOISE**0.5)
        sums, lessons = self.sums[candidates] + noise, self.lessons[candidates]
        parts = np.array_split(self.rng.permutation(self.images), self.folds)
        luck = self.rng.normal(scale=LUCK, size=(len(candidates), self.folds))
        whole = lessons.sum(1)
        learned = [(whole - lessons[:, part].sum(1)) / (self.images - len(part)) for part in parts]
        columns = [
            (sums[:, part] + (shift + one)[:, None] > 0).mean(1)
            for part, shift, one in zip(parts, learned, luck.T, strict=True)
        ]
        return np.stack(columns, axis=1)


def run_sweep(accuracies: list[float], rules: RaceRules, images: int, lesson: float, seed: int) -> Outcome:
    """Simulate one sweep: single runs, the race, and the report."""
    sweep = SimulatedSweep(accuracies, images, rules.folds, lesson, np.random.default_rng(seed))
    candidates = list(range(len(accuracies)))
    first = int(sweep.round(candidates)[:, 0].argmax())
    values: list[dict[tuple[int, int], float]] = [{} for _ in candidates]
    remaining, trainings = candidates, 0

    def train(number: int, some: list[int]) -> None:
        for one, row in zip(some, sweep.round(some), strict=True):
            values[one] |= {(number, fold): float(value) for fold, value in enumerate(row)}

    for number in range(1, rules.rounds + 1):
        train(number, remaining)
        trainings += len(remaining)
        last = replay(values, rules)[-1]
        remaining, verdict = last.remaining, last.verdict(rules.margin)
        if verdict != "open":
            break
    share = trainings / (len(candidates) * rules.rounds)
    if verdict != "best":
        return Outcome(verdict, None, first, share, None)
    winner, second, *_ = last.means
    values = [{} for _ in candidates]
    for number in range(1, REPORT_ROUNDS + 1):
        train(number, [winner, second])
    low, high = compare(values[winner], values[second], rules.folds).interval(LEVEL / 2)
    truth = accuracies[winner] - accuracies[second]
    return Outcome("best", winner, first, share, low <= truth <= high)


HEAD = (
    "| images | candidates | false winner | correct winner | tied | undecided | share of full-grid trainings"
    " | best single run is the best configuration | coverage of the reported interval |"
)


def make_row(images: int, name: str, right: int | None, found: list[Outcome]) -> str:
    """Return the row of the table for one kind of sweeps."""
    intervals = [one.covered for one in found if one.covered is not None]
    cells = [
        f"{images:,}",
        name,
        f"{share_of_false(found, right):.1%}",
        "–" if right is None else f"{fmean(one.winner == right for one in found):.1%}",
        *(f"{fmean(one.kind == kind for one in found):.1%}" for kind in ("tied", "undecided")),
        f"{fmean(one.share for one in found):.0%}",
        "never" if right is None else f"{fmean(one.first == right for one in found):.0%}",
        f"{fmean(intervals):.1%} of {len(intervals)}" if intervals else "–",
    ]
    return f"| {' | '.join(cells)} |"


def share_of_false(found: list[Outcome], right: int | None) -> float:
    """Return the share of sweeps with a winner that is no better than the others."""
    return fmean(one.winner is not None and one.winner != right for one in found)


def main() -> int:
    """Simulate and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=1000)
    parser.add_argument("--images", type=int, nargs="+", default=[200, 1000, 5000, 20000])
    parser.add_argument("--candidates", type=int, nargs="+", default=[16, 2])
    parser.add_argument("--lesson", type=float, default=LESSON, help="how much a training image changes a network")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--margin", type=float, default=0.01)
    parser.add_argument("--write", action="store_true", help="write the table to docs/how-to/prove.md")
    options = parser.parse_args()
    print(machine.description(), flush=True)
    rules = RaceRules(folds=options.folds, rounds=options.rounds, margin=options.margin)
    table, limits = [HEAD, "| --- " * (HEAD.count("|") - 1) + "|"], []
    print(*table, sep="\n")
    for candidates, images, advantage in product(options.candidates, options.images, (0.0, ADVANTAGE)):
        accuracies = [ACCURACY] * (candidates - 1) + [ACCURACY + advantage]
        found = [run_sweep(accuracies, rules, images, options.lesson, seed) for seed in range(options.sweeps)]
        right = candidates - 1 if advantage else None
        name = f"{candidates}, one better by {advantage}" if advantage else f"{candidates}, all equal"
        table.append(make_row(images, name, right, found))
        print(table[-1], flush=True)
        if right is None:
            false = share_of_false(found, right)
            name = f"{candidates} equal candidates, {images} images: a winner"
            limits.append(Limit(name, f"at most {LEVEL:.0%}", f"{false:.1%}", false <= LEVEL))
    if options.write:
        PAGE.write_text(TABLE.sub(lambda _: "\n".join(table) + "\n", PAGE.read_text()))
    return report_limits(limits)


if __name__ == "__main__":
    sys.exit(main())
