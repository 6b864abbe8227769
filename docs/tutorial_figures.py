"""Draw the figures of the tutorial into images/tutorial.

    python docs/tutorial_figures.py

They are made from formulas, from short computations on random numbers, and from recorded results:
experiments/lecture.measured.json and tutorial/questions.json.
"""

import json
import sys
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import matplotlib.style
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))

from answer_questions import EXPERIMENTS, read_answers

DOCS = Path(__file__).parent
IMAGES = DOCS / "images" / "tutorial"
BLUE, VERMILION, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#8C8C8C"  # of Okabe and Ito
STYLE = {"axes.grid": True, "grid.color": "#E6E6E6", "axes.axisbelow": True, "font.size": 9, "legend.frameon": False}


def slope(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Return the derivative of an elementwise function."""
    at = z.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(function(at).sum(), at)
    return slopes


def draw_activations() -> Figure:
    """Draw activations above their slopes, with the sensitive region shaded."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True)
    z = torch.linspace(-6, 6, 1201)
    for upper, lower, activation in zip(*panels, (nn.Sigmoid(), nn.Tanh(), nn.ReLU()), strict=True):
        slopes = slope(activation, z)
        sensitive = z[slopes >= 0.1 * slopes.max()]
        for axes, values, color in ((upper, activation(z), BLUE), (lower, slopes, VERMILION)):
            axes.axvspan(float(sensitive.min()), float(sensitive.max()), color="#56B4E9", alpha=0.2, lw=0)
            axes.plot(z, values, color=color)
        upper.set_title(type(activation).__name__)
        lower.set_xlabel("z")
    panels[0, 0].set_ylabel("output")
    panels[1, 0].set_ylabel("slope")
    return figure


def draw_gradients() -> Figure:
    """Draw the norm of each layer's gradient, as activations.md computes it."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for activation, color, style in ((nn.Sigmoid, BLUE, "o-"), (nn.Tanh, VERMILION, "s--"), (nn.ReLU, GREEN, "^:")):
        torch.manual_seed(123)
        layers = [layer for _ in range(6) for layer in (nn.Linear(64, 64), activation())]
        network = nn.Sequential(*layers, nn.Linear(64, 1))
        labels = torch.arange(32).remainder(2).float()[:, None]
        nn.BCEWithLogitsLoss()(network(torch.randn(32, 64)), labels).backward()
        norms = [float(part.weight.grad.norm()) for part in network if isinstance(part, nn.Linear)]  # type: ignore[union-attr]
        axes.semilogy(range(1, len(norms) + 1), norms, style, color=color, label=activation.__name__)
    axes.set(xlabel="layer, from input to output", ylabel="norm of the gradient")
    axes.legend()
    return figure


def draw_bce() -> Figure:
    """Draw loss and gradient of a cat over the logit, for both losses."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    z = torch.linspace(-130, 10, 1401)
    one = torch.ones_like(z)
    losses = {
        "BCEWithLogitsLoss": lambda at: nn.BCEWithLogitsLoss(reduction="none")(at, one),
        "BCELoss": lambda at: nn.BCELoss(reduction="none")(torch.sigmoid(at), one),
    }
    for (name, loss), color, style in zip(losses.items(), (VERMILION, BLUE), ("--", "-"), strict=True):
        left.plot(z, loss(z), style, color=color, label=name)
        right.plot(z, slope(loss, z), style, color=color, label=name)
    left.set(xlabel="logit z of a cat", ylabel="loss")
    right.set(xlabel="logit z of a cat", ylabel="gradient")
    left.legend()
    return figure


def draw_lecture() -> Figure:
    """Draw the recorded losses of the lecture's run."""
    recorded = json.loads((EXPERIMENTS / "lecture.measured.json").read_text())
    losses = {int(epoch): float(loss) for epoch, loss in recorded["losses"].items()}
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.plot([*losses], [*losses.values()], "o-", color=BLUE, label="train/loss")
    axes.axhline(0.6440, color=GRAY, ls="--", label="knows the share of cats alone: 0.6440")
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, 0.75))
    axes.legend()
    return figure


def draw_questions() -> Figure:
    """Draw the cross-validated balanced accuracy of each answer."""
    rows = read_answers()
    figure = Figure(figsize=(8, 0.27 * len(rows) + 0.8), layout="constrained")
    axes = figure.subplots()
    colors = {"architecture": BLUE, "hyper-parameters": VERMILION, "recorded": "#000000"}
    for place, row in enumerate(reversed(rows)):
        value, color = row["balanced_accuracy"], colors.get(row["question"], GREEN)
        axes.plot([0.5, value], [place, place], color=color, lw=1)
        axes.plot(value, place, "o", color=color)
        axes.annotate(f"{value:.2f}", (value, place), (5, 0), textcoords="offset points", va="center")
    axes.axvline(0.5, color=GRAY, ls="--")
    axes.set(xlabel="balanced accuracy, cross-validated; 0.5 is chance", xlim=(0.45, 1.05))
    axes.set_yticks(range(len(rows)), [row["configuration"] for row in reversed(rows)])
    return figure


FIGURES: Mapping[str, Callable[[], Figure]] = {
    "lecture": draw_lecture,
    "bce": draw_bce,
    "activations": draw_activations,
    "gradients": draw_gradients,
    "questions": draw_questions,
}


def draw(name: str, to: Path) -> Path:
    """Draw a figure into a folder, and return its file."""
    with matplotlib.style.context(["default", STYLE]):
        figure = FIGURES[name]()
        figure.savefig(buffer := BytesIO(), dpi=110, format="png", metadata={"Software": None})
    path = to / f"{name}.png"
    Image.open(buffer).convert("RGB").quantize(64).save(path, optimize=True)  # a third of the size
    return path


def main() -> None:
    """Draw all figures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in FIGURES:
        path = draw(name, IMAGES)
        print(f"{path.relative_to(DOCS)}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
