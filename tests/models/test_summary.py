"""What `copycat inspect` says of a network, beside sums done by hand."""

import re
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.inspection.network import inspect_network
from copycat.models.networks import Normalized
from copycat.models.summary import BATCH, describe_network, network_kind
from tests.support.commands import run_copycat


def render_summary(*words: str) -> str:
    return inspect_network(compose(words, check_data=False).config)


def find_line(text: str, start: str) -> str:
    return next(row for row in text.splitlines() if row.startswith(start))


def read_number(text: str, start: str) -> int:
    found = re.match(rf"{start} ([\d,]+)", find_line(text, start))
    assert found
    return int(found[1].replace(",", ""))


def parse_layer_rows(text: str) -> list[list[str]]:
    """Cells of the table's rows."""
    rows = text.split("\n\n")[1].splitlines()
    return [re.split(r" {2,}", row.strip()) for row in rows[1:]]


# ----- as a user types it


def test_inspect_prints_the_lecture_s_parameter_shapes(tmp_path: Path) -> None:
    words = ["inspect", "model=shallow", "model.in_features=1", "model.hidden=[13]"]
    done = run_copycat(*words, at=tmp_path)
    assert done.returncode == 0
    assert "[torch.Size([13, 1]), torch.Size([13]), torch.Size([1, 13]), torch.Size([1])]" in done.stdout
    assert done.stdout.startswith("shallow network (one hidden layer): B × 1 -> B × 1\n")
    assert done.stderr == ""


@pytest.mark.slow
def test_inspect_of_19_million_parameters_takes_no_memory_for_them() -> None:
    code = """if True:
        from resource import RUSAGE_SELF, getrusage
        from copycat.config.compose import compose
        from copycat.inspection.network import inspect_network
        pages = [inspect_network(compose([f"model={m}", "model.in_features=12288"]).config) for m in ("shallow",)]
        before = getrusage(RUSAGE_SELF).ru_maxrss
        pages.append(inspect_network(compose(["model=lecture_deep", "model.in_features=12288"]).config))
        print(getrusage(RUSAGE_SELF).ru_maxrss - before)
        print(pages[1])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    more, _, text = done.stdout.partition("\n")
    hand = (12288 * 512 + 512) + (512 * 12288 + 12288) + (12288 * 512 + 512) + (512 + 1)
    assert read_number(text, "parameters:") == hand
    assert int(more) * 1024 < hand * 4 / 3  # ru_maxrss is in KiB on Linux
    assert find_line(text, "memory:").startswith(f"memory: {hand * 4 / 2**20:.1f} MiB of parameters")


# ----- kinds


@pytest.mark.parametrize("style", ["sequential", "subclass"])
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("linear", "linear regression"),
        ("logistic", "logistic regression"),
        ("shallow", "shallow network (one hidden layer)"),
        ("deep", "deep network (3 hidden layers)"),
    ],
)
def test_the_page_begins_with_which_of_the_four_kinds_it_is(model: str, expected: str, style: str) -> None:
    text = render_summary(f"model={model}", f"model.style={style}", "model.in_features=30")
    assert text.splitlines()[0] == f"{expected}: B × 30 -> B × 1"


@pytest.mark.parametrize("normalize", ["train", "{mean:[0.5,0.4,0.3],std:[0.2]}"])
def test_layers_of_a_normalized_network_have_the_names_that_training_gives_them(normalize: str) -> None:
    rows = parse_layer_rows(render_summary("model=logistic", "model.in_features=30", f"normalize={normalize}"))
    assert [row[0] for row in rows] == ["normalization Normalization", "network.layers.0 Linear"]


def test_other_networks_have_kinds_too(birds: Path) -> None:
    data = ["data=folder", f"data.root={birds}", "data.image_size=8"]
    assert render_summary("model=cnn", "model.image_shape=[3,8,8]").startswith(
        "convolutional network: B × 3 × 8 × 8 -> B × 1\n"
    )
    words = ["model=bag_of_colors", "optimizer=sparse_adam", "loss=cross_entropy"]
    assert render_summary(*words, *data).startswith("BagOfColors: B × 3 × 8 × 8 -> B × 3\n")


def test_a_network_of_one_s_own_is_not_taken_for_the_lecture_s() -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.last = nn.BatchNorm1d(4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.last(self.norm(x))
            return logits

    assert network_kind(Mine(), loss="BCE") == "Mine"
    assert network_kind(Normalized(Mine(), mean=[0.5], std=[0.2]), loss="BCE") == "Mine"
    assert network_kind(nn.Linear(4, 1), loss="BCE") == "logistic regression"


# ----- sums


@pytest.mark.parametrize("style", ["sequential", "subclass"])
def test_an_mlp_s_page_has_the_shapes_and_sums_done_by_hand(style: str, birds: Path) -> None:
    words = [f"model.style={style}", "loss=cross_entropy", "data=folder", f"data.root={birds}", "data.image_size=8"]
    text = render_summary("model=deep", *words)
    widths = [3 * 8 * 8, 20, 7, 5, 3]
    steps = list(pairwise(widths))
    rows = parse_layer_rows(text)
    flat = [["flatten Flatten", "B × 3 × 8 × 8", "B × 192", "0"]] if style == "sequential" else []
    assert rows[: len(flat)] == flat
    linear = [row[1:] for row in rows if row[0].endswith(" Linear")]
    assert linear == [[f"B × {a}", f"B × {b}", f"{a * b + b:,}"] for a, b in steps]
    assert [row[1:] for row in rows if row[0].endswith(" Sigmoid")] == [
        [f"B × {w}", f"B × {w}", "0"] for w in (20, 7, 5)
    ]
    assert read_number(text, "parameters:") == sum(a * b + b for a, b in steps)
    assert read_number(text, "FLOPs:") == sum(2 * a * b for a, b in steps)
    numbers = 192 + 2 * (20 + 7 + 5) + 3  # the input, each layer's and each activation's
    size = 4 * sum(a * b + b for a, b in steps) / 1024
    assert find_line(text, "memory:").startswith(
        f"memory: {size:.1f} KiB of parameters; {numbers * 4 / 1024:.1f} KiB per "
    )


def test_a_cnn_s_page_has_the_sums_done_by_hand() -> None:
    text = render_summary("model=cnn", "model.image_shape=[3,16,16]", "model.channels=[4,6]")
    convolved = 2 * 9 * 3 * 4 * 16 * 16 + 2 * 9 * 4 * 6 * 8 * 8
    assert read_number(text, "FLOPs:") == convolved + 2 * 6 * 4 * 4
    assert read_number(text, "parameters:") == (9 * 3 * 4 + 4) + (9 * 4 * 6 + 6) + (6 * 4 * 4 + 1)
    assert ["features.3 Conv2d", "B × 4 × 8 × 8", "B × 6 × 8 × 8", f"{9 * 4 * 6 + 6}"] in parse_layer_rows(text)
    held = 3 * 256 + 4 * (256 + 256 + 64) + 6 * (64 + 64 + 16) + 1  # a dropout that rests puts out what it was given
    assert find_line(text, "memory:").endswith(
        f"; {held * 4 / 1024:.1f} KiB per image for the input and the outputs of layers"
    )


def test_the_page_says_how_flops_are_counted() -> None:
    assert "a multiply-add counted as 2; matrix products and convolutions only" in render_summary("model.in_features=5")
    assert read_number(render_summary("model.in_features=5"), "FLOPs:") == 2 * 5
    bag = nn.EmbeddingBag(4, 1)
    text = describe_network(bag, torch.zeros(BATCH, 3, dtype=torch.long), loss="BCE")
    assert find_line(text, "FLOPs:").startswith("FLOPs: 0 ")
    assert find_line(text, "FLOPs:").endswith(", so no look-ups")


def test_layers_that_take_or_give_more_than_one_tensor_are_shown_without_shapes() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.last = Twice(), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            first, _ = self.twice(x=x)
            out: Tensor = self.last(first)
            return out

    rows = parse_layer_rows(describe_network(Whole(), torch.zeros(BATCH, 3), loss="BCE"))
    assert rows == [["twice Twice", "–", "–", "0"], ["last Identity", "B × 3", "B × 3", "0"]]


class Tokens(nn.Module):
    """Attention over pixels and a learned token, with positions made in `forward`, and a weight in two parts."""

    def __init__(self, *, image_shape: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.stem, self.head = nn.Linear(image_shape[0], 4), parametrizations.weight_norm(nn.Linear(4, out_features))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(2).transpose(1, 2)) + torch.arange(4)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        logits: Tensor = self.head(self.attention(x, x, x)[0][:, 0])
        return logits


def test_the_layers_hold_all_parameters_of_a_network_of_one_s_own() -> None:
    model = {"_target_": f"{__name__}.Tokens", "image_shape": [3, 2, 2]}
    text = inspect_network({**compose([], check_data=False).config, "model": model})
    rows = {row[0]: int(row[-1].replace(",", "")) for row in parse_layer_rows(text)}
    attention = 3 * (4 * 4 + 4) + 4 * 4 + 4
    assert rows["attention MultiheadAttention"] == attention
    assert rows["Tokens"] == 4
    assert sum(rows.values()) == read_number(text, "parameters:") == attention + 4 + (3 * 4 + 4) + (4 + 1 + 1)
    by_hand = 2 * 4 * 3 * 4 + 2 * 5 * 4 * 12 + 2 * 2 * 5 * 5 * 4 + 2 * 5 * 4 * 4 + 2 * 4
    assert read_number(text, "FLOPs:") == by_hand


# ----- where the widths come from


@pytest.mark.parametrize("model", ["logistic", "lecture_deep", "cnn"])
def test_widths_that_are_left_open_come_from_the_data(model: str, birds: Path) -> None:
    assert "B × 3 × 64 × 64 -> B × 1" in render_summary(f"model={model}", "data=drawn")
    words = ["data=folder", f"data.root={birds}", "data.image_size=32"]
    assert "B × 3 × 32 × 32 -> B × 3" in render_summary(f"model={model}", *words)


def test_the_real_cats_have_the_lecture_s_12288_inputs(cats_folder: Path) -> None:
    text = render_summary("model=logistic", "data=cats", f"data.root={cats_folder}")
    assert parse_layer_rows(text) == [["layers.0 Linear", "B × 12288", "B × 1", "12,289"]]


def test_outputs_that_are_asked_for_make_so_many_classes() -> None:
    words = ["model=shallow", "model.in_features=4", "loss=cross_entropy"]
    assert render_summary(*words, "model.out_features=5").splitlines()[0].endswith("B × 4 -> B × 5")
    assert render_summary(*words).splitlines()[0].endswith("B × 4 -> B × 2")


def test_three_classes_and_a_binary_loss_are_refused_before_anything_is_shown(birds: Path) -> None:
    with pytest.raises(UserError, match=r"loss: expected 2 classes; got 3\. Type loss=cross_entropy"):
        render_summary("data=folder", f"data.root={birds}", "data.image_size=8", "loss=bce")
