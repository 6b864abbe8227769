"""Step the optimizers and schedulers of many trials as one."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from copycat.sweeps.packed.stacked_network import StackedNetwork
from copycat.training.lazy_scheduler import LazyScheduler

ELEMENTWISE = (
    *(optim.SGD, optim.Adam, optim.AdamW, optim.NAdam, optim.RAdam, optim.Adamax),
    *(optim.RMSprop, optim.Adagrad, optim.Adadelta, optim.ASGD, optim.Rprop),
)
"""Optimizers that update each number of a tensor by itself, so that one tensor may hold several trials."""


@dataclass(frozen=True)
class Trainable:
    """Hold the network of a trial, its optimizer and its scheduler."""

    network: nn.Module
    optimizer: Optimizer
    schedule: LazyScheduler
    config: Any = None
    """Configuration of optimizer and scheduler."""
    chain_kind: str = ""
    """Kind of the network in a pack of unlike ones; parameters of two kinds do not lie together."""
    is_unshared: bool = False
    """Whether the scheduler depends on the trial's metrics, so that no other trial can share it."""


def group_by_rule(trials: Sequence[Trainable]) -> list[list[int]]:
    """Group the places of trials whose parameters are updated by the same rule in all steps to come."""
    groups: dict[str, list[int]] = {}
    for place, trial in enumerate(trials):
        groups.setdefault(_describe_rule(trial) or str(place), []).append(place)
    return list(groups.values())


def _describe_rule(trial: Trainable) -> str | None:
    """Return a description of the trial's update rule; None if it cannot be shared."""
    parameters = list(trial.network.parameters())
    if type(trial.optimizer) not in ELEMENTWISE or trial.is_unshared or not all(p.ndim for p in parameters):
        return None
    names = {parameter: name for name, parameter in trial.network.named_parameters()}
    groups = [
        [sorted((n, repr(v)) for n, v in group.items() if n != "params"), [names[p] for p in group["params"]]]
        for group in trial.optimizer.param_groups
    ]
    state = trial.optimizer.state
    counts = [[repr(v) for v in state[p].values() if not _is_elementwise(v, p)] for p in parameters if p in state]
    return repr([trial.chain_kind, trial.config, groups, counts, trial.schedule.scheduler.state_dict()])


class JointOptimizer:
    """Step one joint optimizer, whose parameters are slices of the stacked ones, one per kind of trial.

    The trials, in the order of their groups, have optimizers and schedulers of their own, which are not updated until
    `sync`. `like` makes another optimizer of the same class.
    """

    def __init__(self, trials: Sequence[Trainable], stack: StackedNetwork, *, like: Callable[[], Optimizer]) -> None:
        """Make the joint optimizer."""
        self.joint = like()
        self.set_trials(trials, stack)

    def set_trials(self, trials: Sequence[Trainable], stack: StackedNetwork) -> None:
        """Replace the trials that are stepped."""
        self.trials, self.stack = list(trials), stack
        self.joint.param_groups, self.joint.state = [], defaultdict(dict)
        self._slices: list[tuple[nn.Parameter, str, slice | int]] = []
        self._leaders: list[tuple[Trainable, list[dict[str, Any]]]] = []
        self._of: dict[int, tuple[int, Mapping[str, nn.Parameter]]] = {}
        start = 0
        for places in group_by_rule(trials):
            assert places == list(range(start, start + len(places)))
            self._add(places)
            start += len(places)
        self.changes = any(leader.schedule.changes for leader, _ in self._leaders)

    def _add(self, places: Sequence[int]) -> None:
        first, leader = places[0], self.trials[places[0]]
        names = {parameter: name for name, parameter in leader.network.named_parameters()}
        tensors = {**self.stack.frozen, **self.stack.parameters}
        own: dict[str, nn.Parameter] = {}
        for parameter, name in names.items():
            location, last = self.stack.locate(name, first), self.stack.locate(name, places[-1])
            where: slice | int = slice(location.rows.start, last.rows.stop)
            if len(places) == 1 and location.is_whole:
                own[name], where = parameter, first
                if state := leader.optimizer.state.get(parameter):
                    self.joint.state[parameter] = state
            else:
                whole = tensors[location.key].detach()[where]
                own[name] = nn.Parameter(whole, requires_grad=parameter.requires_grad)
                if state := self._states(places, name, whole):
                    self.joint.state[own[name]] = state
            if location.key in self.stack.parameters:
                self._slices.append((own[name], location.key, where))
        groups = []
        for group in leader.optimizer.param_groups:
            joint = {**group, "params": [own[names[parameter]] for parameter in group["params"]]}
            if "fused" in joint and joint["fused"] is None and not joint.get("foreach"):
                joint["fused"] = True  # one kernel per group, in place of one per operation
            groups.append(joint)
            if joint.get("fused"):  # a fused optimizer keeps its step count on the device
                for state in (self.joint.state[p] for p in joint["params"] if p in self.joint.state):
                    state.update((n, v.to(joint["params"][0].device)) for n, v in state.items() if n == "step")
        self.joint.param_groups += groups
        self._leaders.append((leader, groups))
        for place in places:
            self._of[place] = first, own
            # schedulers check that their optimizer has stepped; the joint one steps for it
            self.trials[place].optimizer._opt_called = True  # type: ignore[attr-defined]

    def _states(self, places: Sequence[int], name: str, whole: Tensor) -> dict[str, Any]:
        """Return the optimizer state of a stacked parameter, from the trials' own states."""
        parameters = [self.trials[place].network.get_parameter(name) for place in places]
        own: list[Any] = [self.trials[p].optimizer.state.get(q) for p, q in zip(places, parameters, strict=True)]
        if not own[0]:
            return {}
        like = {n: _is_elementwise(value, parameters[0]) for n, value in own[0].items()}
        states = [self.stack.pack_state(name, place, state) for place, state in zip(places, own, strict=True)]
        joint = {n: torch.zeros_like(whole) if like[n] else states[0][n] for n in like}
        locations = [self.stack.locate(name, place) for place in places]
        for location, state in zip(locations, states, strict=True):
            for n in (n for n in like if like[n]):
                location.view(joint[n], locations[0].rows.start).copy_(state[n])
        return joint

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Step the joint optimizer by the stacked gradients."""
        by_name = dict(zip(self.stack.parameters, gradients, strict=True))
        for parameter, name, where in self._slices:
            parameter.grad = by_name[name][where]
        self.joint.step()

    def learning_rates(self) -> list[float]:
        """Return the present learning rate of each trial."""
        rates = {id(leader): float(groups[0]["lr"]) for leader, groups in self._leaders}
        return [rates[id(self.trials[self._of[place][0]])] for place in range(len(self.trials))]

    def step_schedulers(self) -> None:
        """Step the schedulers, and apply what they change."""
        for leader, _ in self._leaders:
            leader.schedule.step()
        if self.changes:
            self.copy_schedules()

    def copy_schedules(self) -> None:
        """Copy the schedulers' changes to the joint optimizer."""
        for leader, groups in self._leaders:
            for ours, theirs in zip(groups, leader.optimizer.param_groups, strict=True):
                ours.update((name, value) for name, value in theirs.items() if name not in ("params", "fused"))

    def sync(self, place: int) -> None:
        """Update a trial's own optimizer and scheduler to the present step; its states are views of the joint ones."""
        first, own = self._of[place]
        trial, leader = self.trials[place], self.trials[first]
        self.stack.refresh(place)
        leader.schedule.apply_deferred()
        if place != first:
            trial.schedule.scheduler.load_state_dict(leader.schedule.scheduler.state_dict())
            for group, other in zip(trial.optimizer.param_groups, leader.optimizer.param_groups, strict=True):
                group.update((name, value) for name, value in other.items() if name != "params")
        for name, parameter in trial.network.named_parameters():
            state = self.joint.state.get(own[name])
            if state and own[name] is not parameter:
                location, start = self.stack.locate(name, place), self.stack.locate(name, first).rows.start
                state = {n: location.view(v, start) if _is_elementwise(v, own[name]) else v for n, v in state.items()}
            if state:
                trial.optimizer.state[parameter] = self.stack.unpack_state(name, place, state)


def _is_elementwise(value: Any, parameter: Tensor) -> bool:
    """Return whether an entry of an optimizer's state has the shape of the parameter."""
    return isinstance(value, Tensor) and value.shape == parameter.shape
