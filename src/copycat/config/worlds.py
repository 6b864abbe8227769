"""Find out how many ranks a run has, and which of them this process is, before torch is imported."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from copycat.config.errors import UserError

DISTRIBUTED = ("ddp", "fsdp")
"""Values of `trainer.strategy` with several ranks."""


@dataclass(frozen=True)
class Place:
    """Represent a process among those that a launcher started for one run."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def find_place() -> Place | None:
    """Return this process's place, which torchrun or srun gave it in its environment; None where it was started alone.

    Of srun, set the address at which ranks meet as torchrun does.
    """
    variables = os.environ
    if "TORCHELASTIC_RUN_ID" in variables:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        return Place(*(int(variables[name]) for name in names))
    tasks = int(variables.get("SLURM_STEP_NUM_TASKS", "1"))
    if tasks == 1 or "SLURM_PROCID" not in variables:
        return None
    nodes = int(variables.get("SLURM_STEP_NUM_NODES", "1"))
    host = _first_host(variables.get("SLURM_STEP_NODELIST") or variables["SLURM_NODELIST"])
    variables.setdefault("MASTER_ADDR", host)
    # ports of steps of one job differ, and those of jobs most often
    number = int(variables["SLURM_JOB_ID"]) * 7 + int(variables.get("SLURM_STEP_ID", "0"))
    variables.setdefault("MASTER_PORT", str(15000 + number % 10000))
    return Place(int(variables["SLURM_PROCID"]), tasks, int(variables["SLURM_LOCALID"]), tasks // nodes)


def count_started() -> int:
    """Return how many ranks a launcher started, of which this process is one; 1 where it was started alone."""
    place = find_place()
    return 1 if place is None else place.size


def _first_host(nodes: str) -> str:
    """Return the first host of a SLURM list, as of `a[03-07,9],b`."""
    name, bracket, rest = nodes.split(",")[0].partition("[")
    return name + rest.split("-")[0].rstrip("]") if bracket else name


def world_size(trainer: Mapping[str, Any]) -> int:
    """Return the number of ranks that a trainer's node asks for, once its devices are filled in."""
    if trainer.get("strategy") not in DISTRIBUTED:
        return 1
    devices = trainer["devices"]
    return int(trainer.get("num_nodes") or 1) * (len(devices) if isinstance(devices, list) else int(devices))


def choose_backend(trainer: Mapping[str, Any], *, has_cuda: bool) -> str:
    """Return the backend of torch.distributed for a trainer's node."""
    uses_cuda = has_cuda and trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda")
    return "cpu:gloo,cuda:nccl" if uses_cuda else "gloo"


def fill_world(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trainer's node with its devices and hosts filled in from the launcher's environment.

    Raises:
        UserError: where launcher and configuration disagree, or several hosts have no launcher.
    """
    place, node = find_place(), dict(trainer)
    if node.get("strategy") not in DISTRIBUTED:
        if place is not None and place.size > 1:
            raise UserError(f"trainer: expected ddp or fsdp for {place.size} processes; got another. Type trainer=ddp.")
        return node
    if place is None:
        if node.get("num_nodes") not in (None, 1):
            raise UserError(
                f"trainer.num_nodes={node['num_nodes']}: expected a start by torchrun or srun on each host; got none."
                " Type torchrun --nnodes=N --nproc-per-node=M --rdzv-backend=c10d --rdzv-endpoint=HOST:29400 -m copycat"
                " train …, or srun copycat train …."
            )
        return node | {"num_nodes": 1, "devices": _local_devices(node["devices"])}
    found = {"devices": place.local_size, "num_nodes": place.size // place.local_size}
    for key, value in found.items():
        asked = node.get(key)
        count = len(asked) if isinstance(asked, list) else asked
        if count not in (None, "auto", value):
            raise UserError(f"trainer.{key}: expected {value}, as the launcher started so many; got {count}.")
    return node | {key: node[key] if isinstance(node.get(key), list) else value for key, value in found.items()}


def needs_launch(trainer: Mapping[str, Any]) -> bool:
    """Return whether this process must start the ranks that a trainer's node, filled in, asks for."""
    return world_size(trainer) > 1 and find_place() is None


def _local_devices(devices: Any) -> Any:
    """Return the devices of this host; `auto` are all accelerators."""
    if devices not in (None, "auto"):
        return devices
    import torch

    if count := torch.accelerator.device_count():
        return count
    raise UserError(
        "trainer.devices: expected a number of ranks, as this machine has no accelerator; got auto. Type"
        " trainer.devices=2."
    )
