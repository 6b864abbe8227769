"""Packages that a run does not use are imported when somebody asks for them."""

import subprocess
import sys

import pytest

PROGRAM = """
import copycat, sys
from importlib.util import find_spec
find_spec("torchmetrics")  # as for a configuration that names one of its classes
import torchmetrics
print([name for name in ("scipy", "matplotlib") if name in sys.modules])
from lightning_utilities.core.imports import RequirementCache, package_available
print(bool(RequirementCache("matplotlib")), package_available("scipy"))
metric = torchmetrics.classification.BinaryAccuracy()
metric.update(torchmetrics.metric.torch.tensor([0, 1]), torchmetrics.metric.torch.tensor([0, 1]))
print(metric.plot()[0])
"""


@pytest.mark.slow
def test_torchmetrics_leaves_matplotlib_and_scipy_until_they_are_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True True", "Figure(640x480)"]


LAZY = """
import copycat, sys
import torch.utils.tensorboard
from tensorboard.compat.tensorflow_stub.io import gfile
print("boto3.session" in sys.modules, gfile.S3_ENABLED)
from boto3 import client
print("boto3.session" in sys.modules, client.__module__, gfile.boto3.client is client)
"""


@pytest.mark.slow
def test_tensorboard_leaves_boto3_until_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False True", "True boto3 True"]
