"""Make the page of a search for the best model."""

import shlex
from collections.abc import Iterator, Sequence

import numpy as np

from copycat.config.errors import UserError
from copycat.config.suggestions import pluralize
from copycat.data.decode import UnreadableImage, read_image
from copycat.deploy.best_result import BestResult, Measured
from copycat.deploy.best_text import (
    NESTED,
    candidate_columns,
    candidate_rows,
    configuration_yaml,
    describe_best,
    describe_figures,
    how_to_resume,
    next_commands,
    untried,
)
from copycat.inspection.callbacks.contact_sheet import encode_jpeg
from copycat.inspection.quality.thumbnails import MAX_IMAGES, shrink
from copycat.inspection.reports.contents import Fact, Section, Table, Thumbnail
from copycat.inspection.reports.evaluation_sections import make_prediction_sections
from copycat.inspection.reports.page import Page
from copycat.tables.statistics import format_number


def make_best_page(result: BestResult) -> Page:
    """Make the page: figures, candidates, confusion matrix, wrong images, suspect labels, and what to type next."""
    rows = [[cell(row) for _, cell in candidate_columns()] for row in candidate_rows(result)]
    sections = [
        Section(
            title="Candidates",
            note="Accuracy on the inner folds of all images, and how many of the selections chose each.",
            table=Table(rows, [title for title, _ in candidate_columns()]),
        )
    ]
    if reasons := untried(result):
        rows = [[name, reason] for name, _, reason in (one.partition(": ") for one in reasons)]
        sections.append(Section(title="Not tried", table=Table(rows, ["candidate", "reason"])))
    if result.measured is not None:
        sections += _make_image_sections(result, result.measured)
    sections += [
        Section(title="Configuration", note="A part; config.yaml of the run has all.", code=configuration_yaml(result)),
        Section(title="Next", code="\n".join([*next_commands(result), _rerun(result), *how_to_resume(result)])),
    ]
    lines = [describe_best(result), *describe_figures(result)]
    summary = "\n".join(f"{line[0].upper()}{line[1:]}." for line in lines)
    return Page(f"The best model: {result.name}", summary, sections, [*_make_facts(result)])


def _rerun(result: BestResult) -> str:
    return f"copycat rerun {shlex.quote(str(result.run.user_path))}"


def _make_facts(result: BestResult) -> Iterator[Fact]:
    name, share = result.baseline
    if result.measured is not None:
        value, low, high = result.accuracy
        note = f"95 % interval {format_number(low)} to {format_number(high)}; {NESTED}"
        if not result.measured.folds:
            low, note = 0.0, "on the inner folds, which chose it"
        yield Fact("Accuracy", format_number(value), "", note, "good" if low > share else "warn")
    yield Fact("Baseline", format_number(share), "", f"always {name}")
    yield Fact("Images", str(result.search.plan.images), "", pluralize(len(result.classes), "class", "classes"))


def _make_image_sections(result: BestResult, measured: Measured) -> Iterator[Section]:
    part = NESTED if measured.folds else "inner folds"
    trained = {part: np.zeros(len(measured.rows), dtype=bool)}
    yield from make_prediction_sections(result.run.manifest, {part: measured.predictions}, trained)
    probability = measured.predictions.probability
    wrong = np.flatnonzero(~measured.predictions.is_correct)
    order = wrong[np.argsort(-probability[wrong].max(1), kind="stable")]
    yield Section(
        title=f"Errors: {len(order)}",
        note="The most confident first, each predicted by a model that did not train on it.",
        thumbnails=[*_make_thumbnails(result, order.tolist())],
    )
    try:
        found = result.find_suspects()
    except UserError:
        return
    yield Section(
        title=f"Suspect labels: {found.estimate}",
        note="Labels that are probably wrong, by cleanlab's estimate of their number from the same predictions.",
        thumbnails=[*_make_thumbnails(result, found.ranked[: found.estimate])],
    )


def _make_thumbnails(result: BestResult, places: Sequence[int]) -> Iterator[list[Thumbnail]]:
    for place in places[:MAX_IMAGES]:
        try:
            small = read_image(result.sweep / result.names[place], shrink)
        except UnreadableImage:  # moved since
            continue
        yield [Thumbnail(encode_jpeg(np.asarray(small)), result.names[place], result.describe_image(place))]
