"""What the page of `copycat app` says about its runs."""

from pathlib import Path

from copycat.deploy.app_cards import COMPARED, make_cards, make_page_title
from copycat.records.run_loader import Opened

CONFIG = {"model": {"_target_": "copycat.models.networks.mlp"}, "data": {"_target_": "copycat.data.sources.cats.Cats"}}


def make_run(accuracy: float | None = 0.9, *, experiment: str = "default", classes: int = 2) -> Opened:
    manifest = {
        "request": {"experiment": experiment},
        "data": {
            "classes": [f"class {number}" for number in range(classes)],
            "images": {"train": 10, "val": 50},
            "majority": {"val": 0.66},
            "warnings": [],
        },
        "results": {"final": {} if accuracy is None else {"val/accuracy": accuracy}},
    }
    return Opened(Path("run"), manifest, CONFIG, True, Path("run"))


def test_a_run_has_its_title_classes_and_the_facts_of_its_report() -> None:
    (card,) = make_cards({"default": make_run()})
    assert (card.title, card.classes, card.is_selected) == ("mlp on Cats", "class 0, class 1", True)
    assert [(fact.title, fact.value, fact.tone) for fact in card.compared_facts] == [
        ("Validation accuracy", "0.9000", ""),
        ("Majority baseline", "exceeded", "good"),
    ]
    assert [fact.title for fact in card.facts] == [*COMPARED, "Data check"]
    assert make_page_title([card]) == "mlp on Cats"


def test_of_many_runs_the_most_accurate_comes_first_and_is_selected() -> None:
    runs: dict[str, Opened | str] = {f"run {number}": make_run(0.6 + number / 100) for number in range(5)}
    cards = make_cards({"damaged": "its weights are damaged", "unknown": make_run(None), **runs})
    assert [card.name for card in cards] == ["run 4", "run 3", "run 2", "run 1", "run 0", "unknown", "damaged"]
    assert [card.name for card in cards if card.is_selected] == ["run 4"]
    assert make_page_title(cards) == "7 runs: mlp on Cats"


def test_few_runs_are_all_selected_in_their_order_but_for_damaged_ones() -> None:
    cards = make_cards({"a": make_run(0.5), "b": "damaged", "c": make_run(0.9, experiment="lecture")})
    assert [card.is_selected for card in cards] == [True, False, True]
    assert make_page_title(cards) == "3 runs"


def test_many_classes_are_cut() -> None:
    (card,) = make_cards({"run": make_run(classes=100)})
    assert card.classes.endswith("class 11 and 88 more")
