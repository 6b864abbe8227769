"""Spread the weights of a network over the ranks of a run, by torch's fully_shard."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from copycat.training.run_context import network_of


class ShardedStrategy(DDPStrategy):
    """Train a network of which each rank holds a part of every weight, of its gradient and of its optimizer state.

    Checkpoints hold whole tensors, in the format of a run in one process. Gradients are means over the ranks, as with
    DDP.
    """

    def setup(self, trainer: pl.Trainer) -> None:
        """Spread the weights before training; evaluations outside it use them as they are."""
        assert self.accelerator is not None
        assert self.model is not None
        self.accelerator.setup(trainer)
        self.precision_plugin.convert_module(self.model)
        self.model_to_device()
        if trainer.state.fn == TrainerFn.FITTING:
            self._plain = copy_structure(network_of(self._module))
            shard(network_of(self._module), self.root_device, ranks=self.world_size)
            self._module.example_input_array = None  # loggers would trace the graph on one rank alone
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()

    @property
    def _module(self) -> pl.LightningModule:
        assert self.lightning_module is not None
        return self.lightning_module

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return whole weights; every rank must call it."""
        return gather_tensors(self._module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return a whole optimizer state; every rank must call it."""
        return gather_tensors(optimizer.state_dict())

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load whole optimizer states, and keep this rank's part of each tensor that has its weight's shape."""
        super().load_optimizer_state_dict(checkpoint)
        for optimizer in self.optimizers:
            for weight, state in optimizer.state.items():
                for name, value in state.items():
                    if isinstance(weight, DTensor) and isinstance(value, Tensor) and value.shape == weight.shape:
                        state[name] = distribute_tensor(value, weight.device_mesh, weight.placements)

    def gather_network(self) -> nn.Module:
        """Return a plain network with the present weights; every rank must call it."""
        weights = gather_tensors(network_of(self._module).state_dict())
        self._plain.load_state_dict(weights, assign=True)
        return self._plain.train(network_of(self._module).training)


def shard(network: nn.Module, device: torch.device, *, ranks: int) -> None:
    """Spread the weights of a network, in place; those of each block are gathered for its computation alone."""
    mesh = init_device_mesh(device.type, (ranks,))
    for block in find_blocks(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


def find_blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Return the elements of a network's sequences and lists that hold weights, and are neither themselves."""
    lists = (nn.Sequential, nn.ModuleList)
    for child in module.children():
        if not isinstance(module, lists) or isinstance(child, lists):
            yield from find_blocks(child)
        elif any(True for _ in child.parameters()):
            yield child


def copy_structure(network: nn.Module) -> nn.Module:
    """Return a copy of a network whose weights take no memory."""
    weights = {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in network.parameters()}
    return copy.deepcopy(network, memo=weights)


def gather_tensors(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state with whole tensors in place of those that are spread."""
    whole: dict[str, Any] = tree_map_only(DTensor, lambda tensor: tensor.full_tensor(), state)
    return whole
