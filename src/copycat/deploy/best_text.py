"""Print the result of a search for the best model, and what to type next."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import yaml

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.suggestions import first_line, pluralize
from copycat.deploy.best_result import BestResult, Measured
from copycat.deploy.class_report import make_class_reports, print_class_reports
from copycat.deploy.evaluation import Evaluation
from copycat.sweeps.best.division import ALL_IMAGES
from copycat.sweeps.best.selection import pool_folds, score
from copycat.tables.render import Column, metric_cell, print_table, value_cell, wide_console
from copycat.tables.statistics import format_number, wilson_interval

NESTED = "nested cross-validation"
MAX_NAMED = 5
"""Suspect labels that a line names, at most."""
PRINTED_NODES = ("normalize", "model", "loss", "optimizer", "scheduler", "augmentation", "lr_multipliers", "seed")
PRINTED_KEYS = {"trainer": ("max_epochs",), "data": ("image_size", "fit", "batch_size")}
"""Nodes, and keys of others, of the configuration that is printed; the run's config.yaml has all."""


def print_result(result: BestResult, *, page: str) -> None:
    """Print the result of a search to standard output; `page` is the path of its page."""
    print_line(describe_best(result))
    for line in describe_figures(result):
        print_line(line)
    print_table(wide_console(), candidate_columns(), candidate_rows(result))
    if result.measured is not None:
        print_class_reports(
            make_class_reports(make_evaluation(result, result.measured), result.classes), result.classes
        )
        print_line(describe_suspects(result))
    for line in (*(f"not tried: {reason}" for reason in untried(result)), *how_to_resume(result)):
        print_line(line)
    print_line(f"configuration (whole: {result.run.user_path / 'config.yaml'}):")
    for line in configuration_yaml(result).splitlines():
        print_line(f"  {line}")
    print_line(f"run: {result.run.user_path}")
    print_line(f"page: {page}")
    first, *others = next_commands(result)
    print_line(f"next: {first}")
    for command in others:
        print_line(f"      {command}")


def describe_best(result: BestResult) -> str:
    """Describe the chosen candidate in one line."""
    plan = result.search.plan
    chosen = f"best: {result.name}"
    if not result.is_final:
        reason = "the search has not ended" if result.failed is None else "its training on all images failed"
        return f"{chosen} so far, trained on two thirds of the images: {reason}"
    images = pluralize(result.run.manifest["data"]["images"]["train"], "image")
    return f"{chosen}, of {pluralize(len(plan.admitted or plan.names), 'candidate')}, trained on {images}"


def describe_figures(result: BestResult) -> Iterator[str]:
    """Yield sentences on the accuracy, its interval and the baseline, and on the test part."""
    name, share = result.baseline
    if result.measured is None:
        yield f"accuracy: not measured yet; baseline (always {name}): {format_number(share)}"
    elif not result.measured.folds:
        yield (
            f"accuracy {format_number(result.accuracy[0])} on the inner folds, of models that saw two thirds of the"
            f" images and were chosen by the others: no interval, as no outer fold is measured yet; baseline (always"
            f" {name}): {format_number(share)}"
        )
    else:
        value, low, high = result.accuracy
        images = pluralize(len(result.measured.rows), "image")
        yield (
            f"accuracy {format_number(value)}, 95 % interval {format_number(low)} to {format_number(high)}"
            f" ({_source(result, result.measured)}, {images}); baseline (always {name}): {format_number(share)}"
        )
        if low <= share:
            yield f"not proved better than always {name}: the interval reaches down to the baseline"
    if test := result.test():
        count = result.run.manifest["data"]["images"]["test"]
        low, high = wilson_interval(test["test/accuracy"], count)
        interval = f"95 % interval {format_number(low)} to {format_number(high)}"
        images = f"{pluralize(count, 'image')} that nothing was chosen by"
        yield f"test accuracy {format_number(test['test/accuracy'])}, {interval} ({images})"
    if (gain := result.search.ensemble) is not None:
        alone, together = format_number(gain.alone), format_number(gain.accuracy)
        yield (
            f"ensemble of {', '.join(gain.members)}: {together} in place of {alone} on the inner folds, p ="
            f" {gain.p:.2g} by McNemar's test: copycat evaluate {shlex.quote(str(result.sweep))}"
        )


def _source(result: BestResult, measured: Measured) -> str:
    plan = result.search.plan
    if measured.folds < plan.outer_folds:
        return f"{NESTED}, {measured.folds} of {plan.outer_folds} outer folds"
    return f"{NESTED}, {plan.outer_folds} × {plan.inner_folds} folds"


def make_evaluation(result: BestResult, measured: Measured) -> Evaluation:
    """Return the measured predictions as an evaluation."""
    part = NESTED if measured.folds else "inner folds"
    trained = {part: np.zeros(len(measured.rows), dtype=bool)}
    return Evaluation({part: measured.predictions}, trained, images={part: result.names})


def candidate_columns() -> list[Column]:
    """Return the columns of the table of candidates."""
    columns: list[Column] = [("candidate", value_cell("candidate")), ("inner accuracy", metric_cell("accuracy"))]
    columns += [(title, value_cell(title)) for title in ("folds", "chosen")]
    return [*columns, ("seconds of\na training", value_cell("seconds"))]


def candidate_rows(result: BestResult) -> list[dict[str, Any]]:
    """Return a row for each candidate: its accuracy on inner folds of all images, and how often it was chosen."""
    search = result.search
    first = search.selections[ALL_IMAGES]
    chosen = [selection.chosen for selection in search.selections]
    rows = []
    for name in search.plan.names:
        folds = first.folds.get(name, {})
        rows.append(
            {
                "candidate": name,
                "accuracy": score(pool_folds(folds)).accuracy if folds else None,
                "folds": f"{len(folds)} of {search.plan.inner_folds}",
                "chosen": f"{chosen.count(name)} of {len([one for one in chosen if one])}",
                "seconds": f"{spent:.1f}" if (spent := search.seconds.get(name)) else "–",
            }
        )
    return sorted(rows, key=lambda row: (-len(first.folds.get(row["candidate"], {})), -(row["accuracy"] or 0)))


def describe_suspects(result: BestResult) -> str:
    """Name the labels that are probably wrong."""
    try:
        found = result.find_suspects()
    except UserError as reason:
        return f"suspect labels: not looked for: {first_line(reason)}"
    listed = [f"{result.names[place]} ({result.describe_image(place)})" for place in found.ranked[: found.estimate]]
    more = f", and {len(listed) - MAX_NAMED} more: see the page" if len(listed) > MAX_NAMED else ""
    return f"suspect labels: {len(listed)}{': ' if listed else ''}{', '.join(listed[:MAX_NAMED])}{more}"


def untried(result: BestResult) -> list[str]:
    """Return the candidates that were not tried, or eliminated, each with the reason."""
    return [f"{name}: {reason.removesuffix('.')}" for name, reason in result.search.plan.not_tried.items()]


def how_to_resume(result: BestResult) -> list[str]:
    """Return how to resume a search that has not ended; empty where it has."""
    if (failed := result.failed) is not None:
        again = f"copycat resume {shlex.quote(str(failed.folder))}"
        return [f"failed: a training on all images ({failed.trial and failed.trial.error}); to try it again: {again}"]
    measured = 0 if result.measured is None else result.measured.folds
    if result.is_final and measured == result.search.plan.outer_folds:
        return []
    return [f"to resume: copycat resume {shlex.quote(str(result.sweep))} sweep.max_time=MORE (in all)"]


def configuration_yaml(result: BestResult) -> str:
    """Return the configuration of the chosen run that a reader would want to change, as YAML."""
    config = result.run.config
    shown = {name: config[name] for name in PRINTED_NODES if config.get(name) is not None}
    shown |= {name: {key: config[name].get(key) for key in keys} for name, keys in PRINTED_KEYS.items()}
    return "".join(
        yaml.safe_dump({name: value}, default_flow_style=None if isinstance(value, dict) else False, sort_keys=False)
        for name, value in shown.items()
    )


def next_commands(result: BestResult) -> Sequence[str]:
    """Return the three commands to type next."""
    run = shlex.quote(str(result.run.user_path))
    return f"copycat app {run}", f"copycat predict {run} IMAGE", f"copycat export {run} --format web"
