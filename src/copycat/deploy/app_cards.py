"""What the page of `copycat app` shows about its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from copycat.config.suggestions import pluralize
from copycat.inspection.reports.contents import Fact
from copycat.inspection.reports.verdict import make_facts, make_title
from copycat.records.run_loader import Opened

MAX_SELECTED = 4
"""Runs that are selected when the page opens, at most; of more runs the most accurate one is."""
MAX_CLASSES = 12
"""Names of classes that are shown, at most."""
COMPARED = ("Validation accuracy", "Majority baseline")
"""Facts that are shown of each of several runs; the others are in the report."""


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """Describe a run."""

    name: str
    """Unique on the page."""
    title: str
    classes: str = ""
    facts: Sequence[Fact] = ()
    """Those of the run's report."""
    accuracy: float | None = None
    """On the validation images."""
    problem: str = ""
    """Why the run cannot be used."""
    is_selected: bool = False

    @property
    def compared_facts(self) -> Sequence[Fact]:
        """Return the facts that are shown of each of several runs."""
        first = {fact.title: fact for fact in reversed(self.facts)}  # a test part has a baseline of its own
        return [first[title] for title in COMPARED if title in first]


def make_cards(runs: Mapping[str, Opened | str]) -> Sequence[RunCard]:
    """Describe runs, the most accurate first where there are more than can be selected at once."""
    cards = [_make_card(name, run) for name, run in runs.items()]
    usable = [card for card in cards if not card.problem]
    if len(usable) > MAX_SELECTED:
        cards.sort(key=lambda card: (bool(card.problem), card.accuracy is None, -(card.accuracy or 0)))
        usable = cards[:1]
    selected = {card.name for card in usable}
    return [replace(card, is_selected=card.name in selected) for card in cards]


def make_page_title(cards: Sequence[RunCard]) -> str:
    """Return the title of the page: the run's, or what the runs have in common."""
    titles = list(dict.fromkeys(card.title for card in cards if not card.problem))
    if len(cards) == 1:
        return cards[0].title
    return f"{pluralize(len(cards), 'run')}: {titles[0]}" if len(titles) == 1 else pluralize(len(cards), "run")


def _make_card(name: str, run: Opened | str) -> RunCard:
    if isinstance(run, str):
        return RunCard(name=name, title=name, problem=run)
    classes = run.manifest["data"]["classes"]
    more = f" and {len(classes) - MAX_CLASSES} more" if len(classes) > MAX_CLASSES else ""
    return RunCard(
        name=name,
        title=make_title(run.user_path, run.config, run.manifest),
        classes=", ".join(classes[:MAX_CLASSES]) + more,
        facts=list(make_facts(run.manifest, run.folder)),
        accuracy=run.manifest["results"].get("final", {}).get("val/accuracy"),
    )
