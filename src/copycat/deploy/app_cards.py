"""What the page of `copycat app` shows about its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from copycat.config.suggestions import pluralize
from copycat.inspection.reports.titles import make_title
from copycat.records.run_loader import Opened
from copycat.tables.statistics import wilson_interval

MAX_SELECTED = 4
"""Runs that are selected when the page opens, at most; of more runs the most accurate one is."""
SHOWN_CLASSES = 12


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """Describe a run."""

    name: str
    """Unique on the page."""
    title: str
    classes: str = ""
    accuracy: float | None = None
    """On the validation images."""
    accuracy_note: str = ""
    baseline: float | None = None
    """Accuracy of always predicting the most frequent class."""
    tone: str = ""
    """The mark of the card, which the stylesheet defines: `good` or `bad`."""
    problem: str = ""
    """Why the run cannot be used."""
    is_selected: bool = False


def make_cards(runs: Mapping[str, Opened | str]) -> Sequence[RunCard]:
    """Describe runs, the most accurate first where there are more than can be selected at once."""
    cards = [_make_card(name, run) for name, run in runs.items()]
    usable = [card for card in cards if not card.problem]
    if len(usable) > MAX_SELECTED:
        cards.sort(key=lambda card: (bool(card.problem), card.accuracy is None, -(card.accuracy or 0)))
        usable = cards[:1]
    selected = {card.name for card in usable}
    return [replace(card, is_selected=card.name in selected) for card in cards]


def page_title(cards: Sequence[RunCard]) -> str:
    """Return the title of the page: the run's, or what the runs have in common."""
    titles = list(dict.fromkeys(card.title for card in cards if not card.problem))
    if len(cards) == 1:
        return cards[0].title
    return f"{pluralize(len(cards), 'run')}: {titles[0]}" if len(titles) == 1 else pluralize(len(cards), "run")


def _make_card(name: str, run: Opened | str) -> RunCard:
    if isinstance(run, str):
        return RunCard(name=name, title=name, problem=run, tone="bad")
    data, classes = run.manifest["data"], run.manifest["data"]["classes"]
    accuracy, images = run.manifest["results"].get("final", {}).get("val/accuracy"), data["images"].get("val", 0)
    note, tone, baseline = "", "", data.get("majority", {}).get("val")
    if accuracy is not None and images and 0 <= accuracy <= 1:
        low, high = wilson_interval(accuracy, images)
        note = f"95 % interval {100 * low:.0f} to {100 * high:.0f} %, {pluralize(images, 'image')}"
        tone = "good" if baseline is not None and low > baseline else ""
    more = f" and {len(classes) - SHOWN_CLASSES} more" if len(classes) > SHOWN_CLASSES else ""
    return RunCard(
        name=name,
        title=make_title(run.config, run.manifest, folder=run.user_path),
        classes=", ".join(classes[:SHOWN_CLASSES]) + more,
        accuracy=accuracy,
        accuracy_note=note,
        baseline=baseline,
        tone=tone,
    )
