"""`copycat inspect --schedule`: the learning rate over a run, without training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.config.targets import build_target, refusals
from copycat.inspection.terminal_plot import sparkline, write_picture
from copycat.tables.render import print_table, value_cell, wide_console, write_csv, write_json
from copycat.training.component_builders import check_optimizer
from copycat.training.components import build_training_data, scheduler_node
from copycat.training.derived_settings import count_steps, fill_image_size, fill_schedule

Config = Mapping[str, Any]
ROWS = 11
"""Rows of the printed table."""


@dataclass(frozen=True)
class Schedule:
    """Hold the learning rate, and the momentum or first beta, of each epoch or step of a run."""

    rates: Sequence[float]
    momenta: Sequence[float | None]
    per_epoch: int
    """Values of an epoch: its steps, or 1."""
    node: Config
    """The scheduler's configuration, with its lengths filled in."""

    def row(self, place: int) -> dict[str, Any]:
        """Return one epoch or step, as a row of a table."""
        row = {"epoch": place // self.per_epoch, "step": place, "learning_rate": self.rates[place]}
        if self.node.get("interval") == "epoch":
            del row["step"]
        return row if self.momenta[place] is None else {**row, "momentum": self.momenta[place]}


def show_schedule(config: Config, *, form: str, picture: Path | None) -> None:
    """Print the schedule of a composed configuration as a table, `csv` or `json`, and draw it into a PNG file.

    Raises:
        UserError: where the schedule cannot be built, or depends on metrics.
    """
    schedule = compute_schedule(config)
    if picture is not None:
        from copycat.inspection.rate_plots import draw_schedule

        write_picture(picture, lambda: draw_schedule(schedule))
    rows = [schedule.row(place) for place in range(len(schedule.rates))]
    if form == "csv":
        write_csv(rows)
    elif form == "json":
        write_json({"scheduler": dict(schedule.node), "rows": rows})
    else:
        _print(schedule, rows)
        print_line(f"picture: {picture}")


def compute_schedule(config: Config) -> Schedule:
    """Compute the schedule of a composed configuration by the scheduler itself, on an optimizer without a network.

    Its rate is that of the group whose factor in `lr_multipliers` is 1. Data are read where steps are counted: by the
    schedule, or by `trainer.max_steps`.

    Raises:
        UserError: where the schedule cannot be built, or depends on metrics.
    """
    by_step, trainer = config["scheduler"].get("interval") == "step", config["trainer"]
    most = trainer.get("max_steps", -1)
    if most == 0:
        raise UserError("--schedule: expected a run that trains; got trainer.max_steps=0.")
    data = build_training_data(fill_image_size(config)) if by_step or most > 0 else None
    steps = 1 if data is None else count_steps(trainer, data)
    per_epoch = steps if by_step else 1
    total = trainer["max_epochs"] * per_epoch
    if most > 0:
        total = min(total, most if by_step else ceil(most / steps))
    config = fill_schedule(config, data)
    with refusals("optimizer", config["optimizer"]):
        made = build_target("optimizer", config["optimizer"])([nn.Parameter(torch.zeros(1))])
        optimizer: Any = check_optimizer(made, config["optimizer"])
    with refusals("scheduler", config["scheduler"]):
        scheduler = build_target("scheduler", scheduler_node(config["scheduler"]))(optimizer)
    if isinstance(scheduler, ReduceLROnPlateau):
        raise UserError(
            "--schedule: expected a schedule that is known before training; got plateau, which goes by a metric."
        )
    optimizer._opt_called = True  # or the scheduler would warn that there was no step before its own
    group, rates, momenta = optimizer.param_groups[0], list[float](), list[float | None]()
    for _ in range(total):
        rates.append(float(group["lr"]))
        momenta.append(group["betas"][0] if "betas" in group else group.get("momentum"))
        scheduler.step()
    is_cycled = len(set(momenta)) > 1
    return Schedule(rates, momenta if is_cycled else [None] * len(rates), per_epoch, config["scheduler"])


def _print(schedule: Schedule, rows: Sequence[Mapping[str, Any]]) -> None:
    last, rates = len(rows) - 1, schedule.rates
    name = str(schedule.node["_target_"]).rpartition(".")[2]
    epochs = pluralize(ceil(len(rows) / schedule.per_epoch), "epoch")
    steps = "" if schedule.node.get("interval") == "epoch" else f" of {pluralize(schedule.per_epoch, 'step')}"
    if len(rows) % schedule.per_epoch:
        steps += f", {pluralize(len(rows), 'step')} in all"
    print_line(f"{name}: {epochs}{steps}, one value per {schedule.node.get('interval', 'epoch')}")
    print_line(sparkline(rates))
    peak = max(range(len(rates)), key=rates.__getitem__)
    shown = sorted({round(last * place / (ROWS - 1)) for place in range(ROWS)} | {peak})
    columns = [(title, value_cell(title)) for title in rows[0]]
    print_table(wide_console(), columns, [{k: _short(v) for k, v in rows[place].items()} for place in shown])


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
