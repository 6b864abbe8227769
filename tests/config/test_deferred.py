"""torchmetrics is imported without SciPy and matplotlib, and finds them where somebody asks."""

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
