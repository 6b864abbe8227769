"""Tensors are read from files without executing anything."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from copycat.records.safe_tensors import read_weights


def test_weights_come_in_the_order_of_their_layers(tmp_path: Path) -> None:
    names = [f"layers.{number}.{kind}" for number in range(12) for kind in ("bias", "weight")]
    save_file({name: torch.zeros(2) for name in reversed(names)}, tmp_path / "weights.safetensors")
    assert list(read_weights(tmp_path / "weights.safetensors")) == names
