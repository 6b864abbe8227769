"""Compare many trials trained as one network with the same trials one after the other.

    COPYCAT_DATA=data/catvnoncat python benchmarks/packed.py [--rounds 5] [--epochs 8001] [--parts logistic peers]
    COPYCAT_DATA=data/catvnoncat python benchmarks/packed.py --parts unlike unlike-adam cnn-grid thousand

Each round trains a sweep with `hydra/launcher=packed`, including its run folders, and then the bare hand-written loop
once, with the same epochs and without records; the time of the loop counts once per trial, since it is the same each
time. The number of epochs is the lecture's: with fewer, the costs per trial weigh more. The seconds of the sweep are
from the first trial's record to the last one's end; those of the loop are of its steps alone, after its imports. The
rates are those of the products and reads that single trials take, of which a pack by SGD needs a hundredth; for
comparison, the output has those of one plain matrix product and of one plain read of memory of the same size.
`peers` compares with Hydra's basic launcher in a project of the usual Lightning-and-Hydra pattern
(benchmarks/peers/lightning_hydra; python benchmarks/peers.py --setup lightning-hydra makes its environment), as whole
processes of 200 epochs per trial in a terminal, where both draw their progress; in `peers-piped` both write to a file,
where Rich's progress bar draws nothing. The project runs its trials one after the other, so its time for more trials
is extrapolated from that of one and of three. With --yardstick, a script of your own replaces the loop.

The parts of the second line compare whole sweeps in turn, run folders included: networks of 8 to 128 units and 1 to 3
layers in one pack with `hydra/launcher=processes`, by SGD and by Adam; a grid of learning rate, batch size and
augmentation of the CNN with the same trials one after the other; and 1,000 trials of the lecture's run with 256.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import machine
from packed_sweeps import COMPARISONS, THOUSAND, compare, compare_thousand
from rounds import Limit, Ratio, ratio, report_limits, run_process

HERE = Path(__file__).parent
LOOP = HERE / "loop.py"
PEERS = "peers", "peers-piped"
LECTURE_EPOCHS = 8001
PLAIN = """
import json, sys, time, torch
trials, width = int(sys.argv[1]), int(sys.argv[2])
x, w = torch.rand(209, 12288), torch.rand(12288, max(1, trials * width))
g, big = torch.rand(209, max(1, trials * width)), torch.rand(2**26)
def best(call):
    call()
    found = []
    for _ in range(15):
        clock = time.perf_counter()
        call()
        found.append(time.perf_counter() - clock)
    return sorted(found)[7]
both = best(lambda: (x @ w, x.T @ g))
print(json.dumps([4 * 209 * 12288 * trials * width / both / 1e9, big.nbytes / best(big.sum) / 1e9]))
"""
"""GFLOP/s of the two products of a first layer, forward and backward, and GB/s of a read: medians of fifteen."""


@dataclass(frozen=True)
class Kind:
    """Describe a network to train, in Copycat's words and in the loop's."""

    copycat: Sequence[str]
    loop: Sequence[str]
    width: int
    """Units of the first layer, which has nearly all the weights."""
    counts: Sequence[int]
    least: dict[int, float]
    """Least speed-up by number of trials."""


KINDS = {
    "logistic": Kind(["experiment=lecture"], [], 1, [1, 16, 64, 256], {64: 6, 256: 8}),
    "shallow": Kind(
        ["data=cats", "model=shallow", "model.hidden=[13]", "optimizer=adam"],
        ["--hidden", "13", "--optimizer", "Adam"],
        13,
        [16, 64],
        {64: 3},
    ),
}


def sweep(kind: Kind, trials: int, *, epochs: int, at: Path, terminal: bool = False) -> tuple[float, float]:
    """Return the seconds of a packed sweep, from its first record to its last, and of the whole process."""
    folder = at / f"sweep{trials}-{len(list(at.iterdir()))}"
    words = [*kind.copycat, f"trainer.max_epochs={epochs}", "trainer.check_val_every_n_epoch=100"]
    many = [f"seed=range({trials})", "hydra/launcher=packed", f"sweep.folder={folder}"]
    process = run_process([sys.executable, "-m", "copycat", "train", "-m", *words, *many], at=at, terminal=terminal)
    records = [json.loads((folder / str(number) / "trial.json").read_text()) for number in range(trials)]
    assert all(record["status"] == "completed" for record in records)
    first = min(datetime.fromisoformat(record["started"]) for record in records)
    last = max(datetime.fromisoformat(record["ended"]) for record in records)
    return (last - first).total_seconds(), process.wall


def loop(kind: Kind, script: Path, *, epochs: int, at: Path) -> tuple[float, float]:
    """Return the seconds of the loop's steps, and of the whole process."""
    words = ["--data", os.environ["COPYCAT_DATA"], "--epochs", str(epochs), "--json", str(at / "loop.json")]
    bare = ["--bare"] if script == LOOP else []
    process = run_process([sys.executable, str(script), *words, *kind.loop, *bare], at=at)
    return float(json.loads((at / "loop.json").read_text())["seconds"]), process.wall


def against_loop(
    name: str, *, counts: Sequence[int] | None, rounds: int, epochs: int, script: Path, at: Path
) -> list[Limit]:
    """Compare packed sweeps with the loop, and return the limits."""
    kind, limits = KINDS[name], list[Limit]()
    counts = counts or kind.counts
    found: dict[int, list[tuple[float, float]]] = {trials: [] for trials in counts}
    alone: list[tuple[float, float]] = []
    for _ in range(rounds):
        alone.append(loop(kind, script, epochs=epochs, at=at))
        for trials in counts:
            found[trials].append(sweep(kind, trials, epochs=epochs, at=at))
    seconds, wall = zip(*alone, strict=True)
    print(f"{name}: {epochs} epochs a trial, median of {rounds}; the loop: {statistics.median(seconds):.2f} s a trial")
    for trials, times in found.items():
        mine, whole = zip(*times, strict=True)
        faster = Ratio([trials / r for r in ratio(mine, seconds).rounds])
        processes = Ratio([trials / r for r in ratio(whole, wall).rounds])
        plain = json.loads(subprocess.check_output([sys.executable, "-c", PLAIN, str(trials), str(kind.width)]))
        took = statistics.median(mine)
        flops = 4 * 209 * 12288 * kind.width * trials * epochs / took / 1e9
        read = (2 * 209 * 12288 * 4 + 6 * 12288 * kind.width * 4 * trials) * epochs / took / 1e9
        print(
            f"  {trials:3} trials  {took:7.2f} s, {1000 * took / trials:7.1f} ms a trial"
            f"  {faster} times faster, whole processes {processes.median:.1f} times"
        )
        print(
            f"      {flops:6.1f} GFLOP/s in all, a plain product {plain[0]:.1f};"
            f" {read:.1f} GB/s in all, a plain read {plain[1]:.1f}"
        )
        if trials in kind.least:
            least = kind.least[trials]
            limits.append(Limit(f"{trials} {name}", f"at least {least:.0f} times", str(faster), faster.median >= least))
    medians = [statistics.median(mine for mine, _ in times) / trials for trials, times in found.items()]
    falls = all(b <= 1.05 * a for a, b in pairwise(medians))
    listed = " ".join(f"{1000 * m:.1f}" for m in medians)
    limits.append(Limit(f"time of a {name} trial", "falls or stays", f"{listed} ms", falls))
    return limits


def against_peer(*, rounds: int, environment: Path, at: Path, terminal: bool) -> list[Limit]:
    """Compare packed sweeps with the Lightning-and-Hydra project, and return the limits."""
    python = environment / "lightning-hydra" / "bin" / "python"
    if not python.exists():
        sys.exit(f"{python} is missing. Type python benchmarks/peers.py --setup lightning-hydra")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    os.environ.clear()
    os.environ.update(clean)
    kind, counts = KINDS["logistic"], (16, 64)
    mine: dict[int, list[float]] = {count: [] for count in counts}
    theirs: list[tuple[float, float]] = []
    for _ in range(rounds):
        walls = []
        for trials in (1, 3):
            words = ["-m", "trainer.max_epochs=200", f"seed=range({trials})"]
            command = [str(python), str(HERE / "peers" / "lightning_hydra" / "train.py"), *words]
            walls.append(run_process(command, at=at, terminal=terminal).wall)
        theirs.append((walls[0], (walls[1] - walls[0]) / 2))
        for count in counts:
            mine[count].append(sweep(kind, count, epochs=200, at=at, terminal=terminal)[1])
    limits = []
    where = "in a terminal" if terminal else "into a file"
    one, more = (statistics.median(column) for column in zip(*theirs, strict=True))
    print(
        f"200 epochs {where}, the Lightning-and-Hydra project: {one:.1f} s for one trial, {more:.1f} s for each more;"
        f" median of {rounds}"
    )
    for count, least in zip(counts, (15, 40 if terminal else 60), strict=True):
        extrapolated = [one + (count - 1) * more for one, more in theirs]
        faster = ratio(extrapolated, mine[count])
        took = statistics.median(mine[count]), statistics.median(extrapolated)
        print(f"  {count:3} trials  packed {took[0]:.1f} s, theirs {took[1]:.0f} s")
        measured = f"{faster} times"
        limits.append(
            Limit(f"{count} against the project, {where}", f"at least {least} times", measured, faster.median >= least)
        )
    return limits


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="of a trial; else each part's own")
    parser.add_argument("--trials", type=int, nargs="+", help="how many at once; else each part's own")
    parser.add_argument(
        "--parts", nargs="+", choices=[*KINDS, *PEERS, *COMPARISONS, THOUSAND], default=[*KINDS, *PEERS]
    )
    parser.add_argument("--yardstick", type=Path, default=LOOP)
    parser.add_argument("--environments", type=Path, default=HERE.parent / ".venv-peers")
    options = parser.parse_args()
    os.environ["COPYCAT_DATA"] = str(Path(os.environ.get("COPYCAT_DATA", "data")).absolute())
    print(machine.description())
    limits: list[Limit] = []
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        sweep(KINDS["logistic"], 2, epochs=100, at=at)  # reads the packages from disk, once
        for part in options.parts:
            if part in COMPARISONS:
                limits += compare(part, rounds=options.rounds, epochs=options.epochs, at=at)
            elif part == THOUSAND:
                limits += compare_thousand(rounds=options.rounds, epochs=options.epochs, at=at)
            elif part in PEERS:
                environment = options.environments.absolute()
                limits += against_peer(rounds=options.rounds, environment=environment, at=at, terminal=part == "peers")
            else:
                script = options.yardstick.absolute()
                # a step of the shallow network takes as long as six of the logistic one
                epochs = (options.epochs or LECTURE_EPOCHS) // (5 if part == "shallow" else 1)
                limits += against_loop(
                    part, counts=options.trials, rounds=options.rounds, epochs=epochs, script=script, at=at
                )
    return report_limits(limits)


if __name__ == "__main__":
    sys.exit(main())
