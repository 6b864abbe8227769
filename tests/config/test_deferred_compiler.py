"""A run leaves torch's compiler alone, and whoever asks for the compiler has it whole."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import sys
import copycat
run = copycat.train(["model.hidden=[3]", "optimizer=adam", "trainer.max_epochs=40"], output_dir="runs")
import torch
print(run.status, "sympy" in sys.modules, "torch._dynamo.eval_frame" in sys.modules)
"""
GROUP = """
import torch.distributed as dist
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 1))
dist.destroy_process_group()
print("sympy" in sys.modules, "torch._dynamo.eval_frame" in sys.modules)
answered = torch._dynamo.utils.get_optimize_ddp_mode()
print(torch._dynamo.utils.counters is not None, torch._dynamo.utils.get_optimize_ddp_mode() == answered)
print(torch._dynamo.trace_rules.__spec__.name, "sympy" in sys.modules)
"""
COMPILE = """
from pytorch_lightning.utilities.compile import OptimizedModule
network = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
optimizer.zero_grad()
network(torch.ones(1, 2)).sum().backward()
optimizer.step()  # before the compiler is loaded
print(isinstance(network, OptimizedModule))
import torch._dynamo.config as config
print(config is torch._dynamo.config, torch._dynamo.config.__spec__.name)
compiled = torch.compile(network, backend="eager")
print(isinstance(compiled, OptimizedModule), isinstance(network, OptimizedModule))
optimizer.zero_grad()
compiled(torch.ones(1, 2)).sum().backward()
optimizer.step()
print(torch.equal(compiled(torch.ones(1, 2)), network(torch.ones(1, 2))))
"""


@pytest.mark.slow
def test_a_run_does_not_load_the_compiler_which_is_whole_when_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN + COMPILE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-5:] == [
        "completed False False",
        "False",
        "True torch._dynamo.config",
        "True False",
        "True",
    ]


@pytest.mark.slow
def test_a_process_group_does_not_load_the_compiler_whose_default_it_takes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN + GROUP]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-4:] == [
        "completed False False",
        "False False",
        "True True",
        "torch._dynamo.trace_rules True",
    ]
