"""Conclude a search for the best model: calibrate its model, write its page and print its result."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.suggestions import first_line
from copycat.deploy.best_page import make_best_page
from copycat.deploy.best_result import BestResult, read_result
from copycat.deploy.best_text import print_result
from copycat.deploy.calibrate import calibrate
from copycat.deploy.calibration_plan import Plan
from copycat.deploy.calibration_request import CalibrationRequest
from copycat.deploy.calibration_sample import read_out_of_fold_sample
from copycat.inspection.reports.page import write_page
from copycat.records.run_loader import Opened, open_run
from copycat.sweeps.best.division import ALL_IMAGES

PAGE = "best.html"


def conclude(sweep: Path) -> BestResult | None:
    """Write and print the result of a search, and return it; None without any so far."""
    result = read_result(sweep)
    if result is None:
        return None
    if result.is_final:
        _calibrate(result)
    page = sweep / PAGE
    write_page(make_best_page(result), page)
    print_result(result, page=str(page))
    return result


def _calibrate(result: BestResult) -> None:
    """Calibrate the model on the predictions of its inner folds, which did not train on the images they predict."""
    search = result.search
    numbers = {fold: search.plan.number(ALL_IMAGES, result.name, fold) for fold in search.plan.folds()}
    folds: Mapping[int | None, Opened] = {fold: open_run(search.trainings[one].folder) for fold, one in numbers.items()}
    plan = Plan(
        runs=[result.run],
        read_sample=partial(read_out_of_fold_sample, folds),
        sources=list(folds.values()),
        rivals=len(search.plan.names),
    )
    try:
        calibrate(plan, CalibrationRequest())
    except UserError as error:
        print_line(f"copycat: not calibrated: {first_line(error)}", error=True)
