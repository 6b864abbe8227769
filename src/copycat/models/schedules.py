"""Create learning-rate schedules of several phases from torch's schedulers."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

MakeScheduler = Callable[[Optimizer], LRScheduler]
Settings = list[dict[str, Any]]
"""Values of an optimizer's groups, without their parameters."""


def warmup_cosine(
    optimizer: Optimizer,
    *,
    warmup_iters: int,
    total_iters: int,
    start_factor: float = 0.01,
    eta_min: float = 0.0,
    warmup: float | None = None,  # noqa: ARG001, the configured length that `warmup_iters` was derived from
) -> "SequenceLR | CosineAnnealingLR":
    """Raise the rate linearly for `warmup_iters`, then lower it along half a cosine up to `total_iters`.

    Source: Goyal et al. 2017, Accurate, Large Minibatch SGD; Loshchilov and Hutter 2017, SGDR.
    """
    if not warmup_iters:  # torch before 2.13 begins with the first rate of a sequence in any case
        return CosineAnnealingLR(optimizer, T_max=total_iters, eta_min=eta_min)
    first = partial(LinearLR, start_factor=start_factor, total_iters=warmup_iters)
    second = partial(CosineAnnealingLR, T_max=total_iters - warmup_iters, eta_min=eta_min)
    one, two, starts = _make_both(optimizer, first, second)
    return SequenceLR(optimizer, [one, two], [warmup_iters], starts)


def one_cycle(
    optimizer: Optimizer,
    *,
    total_steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal_strategy: str = "cos",
    three_phase: bool = False,
    cycle_momentum: bool = True,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
) -> OneCycleLR:
    """Create torch's OneCycleLR with each group's own learning rate as its largest.

    Source: Smith and Topin 2018, Super-Convergence.
    """
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        pct_start=float(pct_start),
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        anneal_strategy=anneal_strategy,  # type: ignore[arg-type]
        three_phase=three_phase,
        cycle_momentum=cycle_momentum,
        base_momentum=base_momentum,
        max_momentum=max_momentum,
    )


def sequence(
    optimizer: Optimizer, *, first: MakeScheduler, second: MakeScheduler, milestone: int
) -> "SequenceLR | PlateauSequence":
    """Follow one schedule for `milestone` epochs or steps, then another from its start."""
    one, two, starts = _make_both(optimizer, first, second)
    if isinstance(two, ReduceLROnPlateau):
        return PlateauSequence(one, two, milestone, starts)
    return SequenceLR(optimizer, [one, two], [milestone], starts)


class SequenceLR(SequentialLR):
    """Follow one schedule up to a milestone, then another from its start.

    The rates are those of torch's SequentialLR, also where a schedule sets more than the rate as it is made, as
    OneCycleLR does with the momentum: `second_settings` are applied at the milestone.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], second_settings: Settings
    ) -> None:
        """Begin with the first of two schedulers; `second_settings` are those that the second starts from."""
        self._second_settings = second_settings
        super().__init__(optimizer, schedulers, milestones)

    def step(self) -> None:  # type: ignore[override]
        """Take a step of the present schedule."""
        if self.last_epoch + 1 == self._milestones[0]:
            _update_settings(self.optimizer, self._second_settings)
        super().step()


class PlateauSequence(ReduceLROnPlateau):
    """Follow a schedule for some epochs, then lower the rate when a metric stops improving.

    It is a ReduceLROnPlateau to those who pass the metric, and leaves the work to its two schedulers.
    """

    def __init__(
        self, first: LRScheduler, plateau: ReduceLROnPlateau, milestone: int, second_settings: Settings
    ) -> None:
        """Begin with the first scheduler."""
        self.optimizer = first.optimizer
        self.first, self.plateau, self.milestone = first, plateau, milestone
        self._second_settings = second_settings

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take a step of the first schedule, or compare the metric with its best value."""
        if self.first.last_epoch >= self.milestone:
            self.plateau.step(metrics)
            return
        self.first.step()
        if self.first.last_epoch == self.milestone:
            _update_settings(self.optimizer, self._second_settings)

    def get_last_lr(self) -> list[Any]:
        """Return the present rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both schedules."""
        return {"first": self.first.state_dict(), "plateau": self.plateau.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the states of both schedules."""
        self.first.load_state_dict(state_dict["first"])
        self.plateau.load_state_dict(state_dict["plateau"])


def _make_both(
    optimizer: Optimizer, first: MakeScheduler, second: Callable[[Optimizer], Any]
) -> tuple[LRScheduler, Any, Settings]:
    """Make two schedules on the same settings, and return them with the settings that the second starts from."""
    before = _read_settings(optimizer)
    one = first(optimizer)
    settings = _read_settings(optimizer)
    _replace_settings(optimizer, before)
    two = second(optimizer)
    starts = [
        {name: value for name, value in own.items() if _differs(name, value, other)}
        for own, other in zip(_read_settings(optimizer), settings, strict=True)
    ]
    _replace_settings(optimizer, settings)
    return one, two, starts


def _read_settings(optimizer: Optimizer) -> Settings:
    return [{name: v for name, v in group.items() if name != "params"} for group in optimizer.param_groups]


def _update_settings(optimizer: Optimizer, settings: Settings) -> None:
    for group, values in zip(optimizer.param_groups, settings, strict=True):
        group.update(values)


def _replace_settings(optimizer: Optimizer, settings: Settings) -> None:
    for group, values in zip(optimizer.param_groups, settings, strict=True):
        for name in [name for name in group if name != "params" and name not in values]:
            del group[name]
    _update_settings(optimizer, settings)


def _differs(name: str, value: Any, other: dict[str, Any]) -> bool:
    """Return whether the first schedule sets this value to another one, now or later."""
    is_cycled = name in ("momentum", "betas") and "max_momentum" in other
    return name == "lr" or is_cycled or name not in other or bool(other[name] != value)
