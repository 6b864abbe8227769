"""Kills real runs at random instants, resumes them until they are done, and compares bits with runs left alone.

    python benchmarks/kill.py --rounds 200

A round starts a run in a process of its own, ends it by SIGKILL after a random time, types `copycat resume`, and so on
until one completes; every third kill also damages last.ckpt. Then weights, metrics.csv and the points in the event
files are held against those of a run that nobody killed. The processes are forked from a server that has imported
PyTorch, so that a round takes seconds. Prints a line a round; exits 1 where a round differs.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

JOBS = {
    "logistic": ["model=logistic", "trainer.max_epochs=300", "trainer.check_val_every_n_epoch=5"],
    "cnn": [
        *("model=cnn", "model.channels=[8,8]", "model.dropout=0.3", "augmentation=light", "optimizer=adam"),
        *("scheduler=cosine", "scheduler.T_max=12", "data.batch_size=32", "data.shuffle=true", "data.workers=2"),
        *("data.memory_mb=0", "trainer.max_epochs=12", "callbacks.last.every_n_steps=3"),
    ],
}
"""One full batch a step; and mini-batches with each kind of chance there is, decoded by two workers."""
SMALL = ("data=folder", "data.image_size=16", "trainer.threads=1", "callbacks.last.every_seconds=0.2")
Point = tuple[str, str, int, float]


def copycat(words: Sequence[str], at: str) -> None:
    """One command, as a process of its own runs it."""
    os.chdir(at)
    multiprocessing.set_start_method("fork", force=True)  # workers are the run's own children, as ever
    with open("output.txt", "a") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    from copycat.cli import main

    main(words)


def start(words: Sequence[str], at: Path) -> ForkServerProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["copycat.training.resume", "copycat.inspection.tensorboard.logger", "copycat.cli"])
    process = context.Process(target=copycat, args=(list(words), str(at)))
    process.start()
    return process


def run_folder(at: Path) -> Path | None:
    """The newest run that got as far as a manifest."""
    found = sorted(at.glob("outputs/*/*/*/run.json"), key=lambda file: file.stat().st_mtime_ns)
    return found[-1].parent if found else None


def points(folder: Path) -> list[Point]:
    """Every scalar of a run's event files but for times, as they lie there: none is purged by the reader."""

    def found() -> Iterator[Point]:
        for file in sorted((folder / "tensorboard").rglob("events.*")):
            for event in EventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == "scalars" and not value.tag.startswith("time/"):
                        yield file.parent.name, value.tag, event.step, value.tensor.float_val[0]

    return sorted(found())


def differences(folder: Path, reference: Path) -> list[str]:
    same = {
        name: (folder / name).read_bytes() == (reference / name).read_bytes()
        for name in ("weights.safetensors", "metrics.csv")
    }
    same["event files"] = points(folder) == points(reference)
    return [name for name, equal in same.items() if not equal]


def play(words: Sequence[str], at: Path, *, seconds: float, chance: random.Random, kills: Counter[str]) -> Path:
    """Kill and resume until the run is done; its folder."""
    for attempt in range(1000):
        folder = run_folder(at)
        if folder and json.loads((folder / "run.json").read_text())["status"] == "completed":
            return folder  # the kill came after the last record
        process = start(["resume", str(folder)] if folder else ["train", *words], at)
        process.join(chance.uniform(0.15, 1.0) * seconds)
        if process.exitcode == 0:
            continue
        if process.exitcode is not None:
            sys.exit(f"ended with {process.exitcode}:\n{(at / 'output.txt').read_text()}")
        process.kill()
        process.join()
        last = made / "checkpoints" / "last.ckpt" if (made := run_folder(at)) else None
        kills["after a checkpoint" if last and last.exists() else "before one"] += 1
        if attempt % 3 == 2 and last and last.exists() and last.with_name("before.ckpt").exists():
            damage(last, chance)
            kills["with last.ckpt damaged"] += 1
    sys.exit("a run that is killed so often never ends")


def damage(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    if chance.random() < 0.5:
        content[place] ^= 1 << chance.randrange(8)
    else:
        del content[place:]
    path.write_bytes(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chance, kills, different = random.Random(asked.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        images = home / "images"
        draw = start(["data", "draw", str(images)], home)
        draw.join()
        where = [*SMALL, f"data.root={images}"]
        references, took = {}, {}
        for job, words in JOBS.items():
            at = home / job
            at.mkdir()
            began = time.monotonic()
            start(["train", *where, *words], at).join()
            took[job] = time.monotonic() - began
            reference = run_folder(at)
            if reference is None or not (reference / "weights.safetensors").exists():
                sys.exit((at / "output.txt").read_text())
            references[job] = reference
            print(f"{job}: {took[job]:.1f} s alone, {len(points(reference))} points", flush=True)
        for place in range(asked.rounds):
            job = list(JOBS)[place % len(JOBS)]
            at = home / f"round{place}"
            at.mkdir()
            before = kills.total()
            folder = play([*where, *JOBS[job]], at, seconds=took[job], chance=chance, kills=kills)
            found = differences(folder, references[job])
            different += bool(found)
            said = f"different: {', '.join(found)}" if found else "identical"
            print(f"round {place + 1} of {asked.rounds}, {job}, {kills.total() - before} kills: {said}", flush=True)
    print(f"{asked.rounds - different} of {asked.rounds} rounds identical; kills: {dict(kills)}")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
