"""What is printed of calibrations beside their figures."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from copycat.deploy.calibrate import Calibrated, Check
from copycat.deploy.calibration_fit import Fit
from copycat.deploy.calibration_rows import MetricRow
from copycat.deploy.calibration_sample import Sample
from copycat.deploy.calibration_table import _print_several
from copycat.models.temperature import HIGHEST


def make_row(nll: float) -> MetricRow:
    return {"part": "", "images": 4, "metric": "nll", "value": nll, "low": None, "high": None}


def test_of_several_runs_each_temperature_at_its_limit_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    logits, label = np.zeros((4, 2)), np.zeros(4, dtype=np.int64)
    sample = Sample(fitted_on="out of fold", logits=logits, label=label, group=np.arange(4))

    def calibrated(name: str, temperature: float) -> Calibrated:
        plan = cast(Any, SimpleNamespace(runs=[SimpleNamespace(user_path=Path(name))], rivals=1))
        fitted = Fit(temperature=temperature, is_separable=False, decision={})
        check = Check([make_row(0.5)], [make_row(0.7)])
        return Calibrated(plan=plan, fitted=fitted, sample=sample, check=check, is_checked=True)

    _print_several([calibrated("good", 1.5), calibrated("bad", HIGHEST)])
    out = capsys.readouterr().out
    assert "bad: the temperature is at its limit: " in out
    assert "tell nothing about the classes, and nll gets worse\n" in out
    assert "bad: one fold that is far off suffices for that" in out
    assert "good: " not in out
