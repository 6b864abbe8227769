"""Tensors are read from files without executing anything."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from copycat.records.checkpoint_file import save_weights
from copycat.records.safe_tensors import read_weights


def test_weights_come_in_the_order_of_their_layers(tmp_path: Path) -> None:
    names = [f"layers.{number}.{kind}" for number in range(12) for kind in ("bias", "weight")]
    save_file({name: torch.zeros(2) for name in reversed(names)}, tmp_path / "weights.safetensors")
    assert list(read_weights(tmp_path / "weights.safetensors")) == names


def test_a_name_that_is_shorter_does_not_come_first(tmp_path: Path) -> None:
    names = ["features.0.weight", "features.10.weight", "linear.weight"]  # a CNN's: its report draws the first layer
    save_file({name: torch.zeros(2) for name in reversed(names)}, tmp_path / "weights.safetensors")
    assert list(read_weights(tmp_path / "weights.safetensors")) == names


def test_tied_weights_are_written_under_each_name(tmp_path: Path) -> None:
    stack = torch.arange(12.0).reshape(2, 2, 3)
    state = {"first": stack[0], "tied": stack[0], "turned": stack[0].T, "second": stack[1]}
    save_weights(state, tmp_path / "weights.safetensors")
    found = read_weights(tmp_path / "weights.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
