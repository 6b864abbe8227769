"""Write a portfolio of the user's own candidates."""

from collections.abc import Mapping
from pathlib import Path

CANDIDATE = """# @package _global_
defaults:
  - override /model: logistic
  - override /optimizer: adam
optimizer:
  lr: {rate}
trainer:
  max_epochs: 60
{more}
"""


def write_portfolio(at: Path, rates: Mapping[str, float], *, more: str = "") -> None:
    """Write an experiment of a logistic regression for each name, with that learning rate and `more` YAML."""
    folder = at / "experiments" / "portfolio"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rate in rates.items():
        (folder / f"{name}.yaml").write_text(CANDIDATE.format(rate=rate, more=more))
