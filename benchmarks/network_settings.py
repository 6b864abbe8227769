"""Compare runs in mixed precision, compiled, in channels-last and with checkpointed activations with the plain run.

    python benchmarks/network_settings.py [--accelerator cpu] [--epochs 10]

Trains a convolutional network of drawn images with each setting, twice: the two must have the same weights. Prints the
difference of the first epoch's mean loss from the plain run's, the largest of all epochs, and that of the final
validation loss; then, of one training step of 128 images, its time (processor time on the CPU) and the peak memory of
its tensors, each as a share of the plain step's. Ends with status 1 where a repeated run differs, or a difference
exceeds its limit in the first epoch.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import machine
import torch

from copycat.config.compose import compose
from copycat.records.metrics_csv import read_history
from copycat.training.components import RunComponents, build_components
from copycat.training.system_memory import measure_peak_bytes
from copycat.training.train import RunResult, train

SETTINGS = {
    "plain": ((), 0.0),
    "accumulate_grad_batches=4": (("trainer.accumulate_grad_batches=4", "data.batch_size=8"), 1e-6),
    "activation_checkpointing": (("trainer.activation_checkpointing=true",), 0.0),
    "channels_last": (("trainer.channels_last=true",), 1e-5),
    "compile": (("trainer.compile=true",), 1e-5),
    "bf16-mixed": (("trainer.precision=bf16-mixed",), 1e-2),
    "16-mixed": (("trainer.precision=16-mixed",), 1e-3),
    "all but accumulation": (
        (
            *("trainer.activation_checkpointing=true", "trainer.channels_last=true", "trainer.compile=true"),
            "trainer.precision=bf16-mixed",
        ),
        1e-2,
    ),
}
"""Words of each, and the largest difference of the first epoch's mean loss."""
WORDS = (
    *(
        "data=drawn",
        "model=cnn",
        "model.dropout=0",
        "optimizer=sgd",
        "optimizer.lr=0.05",
        "data.batch_size=32",
        "data.train=256",
    ),
    *("callbacks=none", "logger=none"),
)
IMAGES, STEPS = 128, 5


def run(words: Sequence[str], *, at: Path) -> RunResult:
    """Train, and end the benchmark where the run fails."""
    result = train(compose([*WORDS, f"output_dir={at}", *words]))
    if result.status != "completed":
        sys.exit(f"{' '.join(words)}: {result.manifest['error']}")
    return result


def build(words: Sequence[str]) -> RunComponents:
    """Build the components of a run, without its float images."""
    components = build_components(compose([*WORDS, *words]).config)
    components.data.release()
    return components


def measure_step(words: Sequence[str], device: torch.device) -> tuple[float, float]:
    """Return seconds and peak bytes of one training step."""
    components = build(words)
    classifier: Any = components.classifier.to(device)
    trainer = components.config["trainer"]
    precision, window = trainer["precision"], trainer["accumulate_grad_batches"]
    half = torch.bfloat16 if precision == "bf16-mixed" else torch.float16
    images = torch.rand(IMAGES, *components.data.image_shape, device=device)
    labels = torch.arange(IMAGES, device=device) % 2

    def step() -> None:
        for some, true in zip(images.chunk(window), labels.chunk(window), strict=True):
            with torch.autocast(device.type, dtype=half, enabled=precision.endswith("-mixed")):
                logits = classifier.trained_network(some)
            (classifier.loss(logits.float(), true) / window).backward()
        classifier.zero_grad()

    clock = time.process_time if device.type == "cpu" else time.perf_counter
    step()
    seconds = []
    for _ in range(STEPS):
        began = clock()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(clock() - began)
    if device.type != "cuda":
        return median(seconds), measure_peak_bytes(step)
    torch.cuda.reset_peak_memory_stats()
    step()
    return median(seconds), torch.cuda.max_memory_allocated()


def main() -> int:
    """Train, measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    device = torch.device("cuda" if options.accelerator in ("gpu", "cuda") else options.accelerator)
    print(machine.description(), flush=True)
    common = (f"trainer.accelerator={options.accelerator}", f"trainer.max_epochs={options.epochs}")
    print(f"{'':25} first epoch   all epochs  final val/loss   repeated   step time   memory")
    failed, plain, step = False, None, None
    for name, (words, most) in SETTINGS.items():
        if name == "16-mixed" and device.type == "cpu":
            continue  # Lightning has none
        with tempfile.TemporaryDirectory() as folder:
            first, second = (run([*common, *words], at=Path(folder)) for _ in range(2))
            losses = [row["train/loss_mean"] for row in read_history(first.folder)]
            results = [result.manifest["results"] for result in (first, second)]
        final = results[0]["final"]["val/loss"]
        plain = plain or (losses, final)
        measured = measure_step([common[0], *words], device)
        step = step or measured
        differences = [abs(loss - other) for loss, other in zip(losses, plain[0], strict=True)]
        is_same = results[0]["weights_digest"] == results[1]["weights_digest"]
        print(
            f"{name:25} {differences[0]:11.1e}  {max(differences):11.1e}  {abs(final - plain[1]):14.1e}"
            f"  {'same bits' if is_same else 'DIFFERS':>9}   {measured[0] / step[0]:9.2f}"
            f"  {measured[1] / step[1]:7.2f}",
            flush=True,
        )
        failed |= not is_same or differences[0] > most
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
