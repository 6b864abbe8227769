"""The head of a run's page: what was trained on what, how well, and what speaks against it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import hypot
from pathlib import Path
from typing import Any

from copycat.config.dotted_keys import flatten
from copycat.config.suggestions import pluralize
from copycat.inspection.reports.contents import Fact, Tone
from copycat.records.predictions import read_predictions
from copycat.records.reader import read_checked_manifest
from copycat.tables.statistics import format_number, wilson_interval

LARGE_GAP = 0.05
"""Difference between training and validation accuracy from which overfitting is more than slight."""


def make_title(folder: Path, config: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """Return experiment, network and data, such as `lecture: mlp on Cats`; the folder where they are unknown."""
    values = flatten(config)
    with suppress(KeyError, TypeError):
        model, data = (str(values[f"{group}._target_"]).rpartition(".")[2] for group in ("model", "data"))
        experiment = str(manifest["request"]["experiment"])
        return f"{model} on {data}" if experiment in ("default", "sweep") else f"{experiment}: {model} on {data}"
    return str(folder)


def make_facts(manifest: Mapping[str, Any], folder: Path) -> Iterator[Fact]:
    """Make the known facts that judge a run: accuracy, baseline, overfitting, data check."""
    final, images = manifest["results"].get("final", {}), manifest["data"]["images"]
    intervals = bootstrap_accuracies(folder) if manifest["data"].get("multi_label") else {}
    for part, title in (("val", "Validation accuracy"), ("test", "Test accuracy")):
        accuracy, count = final.get(f"{part}/accuracy"), images.get(part, 0)
        if accuracy is None or not count or not 0 <= accuracy <= 1:
            continue
        low, high = intervals.get(part) or wilson_interval(accuracy, count)
        note = f"95 % interval {low:.2f} to {high:.2f}, {pluralize(count, 'image')}"
        if manifest["data"].get("multi_label"):
            note += ", a mean over the classes"
        yield Fact(title, f"{accuracy:.4f}", f"{title.lower()} {accuracy:.4f} ({note})", note)
        if baseline := manifest["data"].get("majority", {}).get(part):
            is_several = manifest["data"].get("multi_label")
            constant = "each class as most images have it" if is_several else "always the most frequent class"
            yield _compare_with_baseline(baseline, low, high, constant=constant)
    if overfitting := _find_overfitting(manifest):
        yield overfitting
    warnings = manifest["data"]["warnings"]
    count = pluralize(len(warnings), "warning") if warnings else "no warning"
    tone: Tone = "warn" if warnings else "good"
    yield Fact("Data check", count, f"{count} of the data check", "; ".join(warnings), tone)


def bootstrap_accuracies(folder: Path) -> Mapping[str, tuple[float, float]]:
    """Return the interval that the table of metrics has: a mean over classes is no share of images, as Wilson's is."""
    from copycat.inspection.reports.intervals import bootstrap  # it imports torch

    classes = read_checked_manifest(folder)["data"]["classes"]  # the index of a sweep has no classes
    predictions = read_predictions(folder, classes=len(classes))
    return {part: bootstrap(each.probability, each.label)["accuracy"] for part, each in predictions.items()}


def make_verdict(facts: Sequence[Fact]) -> str:
    """Return the facts as one line."""
    words = "; ".join(fact.phrase for fact in facts)
    return f"{words[:1].upper()}{words[1:]}."


def _compare_with_baseline(baseline: float, low: float, high: float, *, constant: str) -> Fact:
    title, share = "Majority baseline", f"{baseline:.4f}"
    note = f"{constant}: {share}"
    if low > baseline:
        return Fact(title, "exceeded", f"above the majority baseline, {share}", note, "good")
    if high < baseline:
        return Fact(title, "missed", f"below the majority baseline, {share}", note, "bad")
    phrase = f"not shown to exceed the majority baseline, {share}"
    return Fact(title, "not shown to be exceeded", phrase, f"{note}, inside the interval", "warn")


def _find_overfitting(manifest: Mapping[str, Any]) -> Fact | None:
    """Compare training and validation accuracy of the final weights by the interval of their difference.

    Source: Newcombe 1998, Statistics in Medicine 17, 873; method 10.
    """
    results, images = manifest["results"], manifest["data"]["images"]
    final = results.get("final", {})
    accuracies = [(final.get(f"{part}/accuracy"), images.get(part)) for part in ("train", "val")]
    if any(accuracy is None or not count or not 0 <= accuracy <= 1 for accuracy, count in accuracies):
        return None
    (train, trained), (val, validated) = accuracies
    gap = train - val
    margin = hypot(train - wilson_interval(train, trained)[0], wilson_interval(val, validated)[1] - val)
    note = f"training accuracy {train:.4f}, validation accuracy {val:.4f}{_describe_loss(results)}"
    if gap <= margin:
        learned = train > manifest["data"].get("majority", {}).get("train", 0)
        return Fact("Overfitting", "no sign", "no sign of overfitting", note, "good" if learned else "")
    if gap < LARGE_GAP:
        return Fact("Overfitting", "slight", f"slight overfitting: training accuracy {train:.4f}", note)
    return Fact("Overfitting", "yes", f"overfitting: training accuracy {train:.4f}", note, "warn")


def _describe_loss(results: Mapping[str, Any]) -> str:
    """State how much lower the validation loss once was."""
    final, best = results["final"].get("val/loss"), results.get("best", {})
    least = best.get("metrics", {}).get("val/loss")
    if best.get("monitor") != "val/loss" or final is None or least is None or not least < final:
        return ""
    return f"; validation loss {format_number(final)}, least in epoch {best['epoch']}: {format_number(least)}"


def format_time(text: str) -> str:
    """Format a recorded time to the minute; other text is returned unchanged."""
    return f"{text[:10]} {text[11:16]} UTC" if text.endswith("+00:00") and text[10:11] == "T" else text
