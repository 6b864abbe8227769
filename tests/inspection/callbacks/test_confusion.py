"""How right a network is: against plain counting."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.figure import Figure

from copycat.inspection.callbacks.confusion import draw_confusion_matrix
from copycat.inspection.callbacks.mistakes import least_confident, most_confident_errors
from copycat.inspection.reports.intervals import bootstrap
from copycat.models.metrics import compute_scores
from tests.support.images import write_image_folder
from tests.support.runs import train_tiny
from tests.support.tensorboard import load_events

said = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(2, 4)), elements=st.floats(0.01, 1))


@given(said)
def test_the_most_wrong_come_first_and_right_ones_not_at_all(raw: np.ndarray) -> None:
    probability = raw / raw.sum(1, keepdims=True)
    label = np.arange(len(raw)) % raw.shape[1]
    places = most_confident_errors(probability, label, count=5)
    wrong = [place for place in range(len(raw)) if probability[place].argmax() != label[place]]
    assert sorted(places) == sorted(sorted(wrong, key=lambda place: (probability[place, label[place]], place))[:5])
    of_true = [probability[place, label[place]] for place in places]
    assert of_true == sorted(of_true)
    margins = [np.diff(np.sort(probability[place])[-2:])[0] for place in least_confident(probability, count=5)]
    assert margins == sorted(margins)


@pytest.mark.parametrize("classes", [2, 3])
def test_an_interval_holds_the_score_and_is_the_same_each_time(classes: int) -> None:
    random = np.random.default_rng(1)
    label = np.arange(60) % classes
    raw = random.random((60, classes)) + 2 * np.eye(classes)[label] * (random.random((60, 1)) > 0.3)
    probability = raw / raw.sum(1, keepdims=True)
    found = bootstrap(probability, label)
    assert found == bootstrap(probability, label)
    of_all = torch.from_numpy(probability[:, 1] if classes == 2 else probability).float()[None]
    for name, (score,) in compute_scores(of_all, torch.from_numpy(label)[None], classes=classes).items():
        low, high = found[name]
        assert 0 <= low < score < high <= 1
        assert high - low < 0.4


def test_a_matrix_is_drawn_darker_where_more_are() -> None:
    picture = draw_confusion_matrix(np.array([[9, 1], [5, 5]]), ["dog", "cat"])
    brightness = picture.mean(-1)
    corner = [[float(brightness[44 + row * 64, 114 + column * 64]) for column in range(2)] for row in range(2)]
    assert corner[0][0] < corner[1][0] == corner[1][1] < corner[0][1]


@pytest.mark.parametrize("count", [20, 21])
def test_tensorboard_says_which_classes_its_curves_are_of(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(Figure, "suptitle", lambda _, title: titles.append(title))
    classes = {f"c{index:02}": index for index in range(count)}
    images = write_image_folder(tmp_path / "images", classes=classes, parts={"train": 1, "val": 1}, levels=200)
    words = ("callbacks=[default,plots]", *(f"callbacks.{name}=null" for name in ("statistics", "mistakes")))
    run = train_tiny(*words, "model=linear", "loss=cross_entropy", "trainer.max_epochs=1", data=images, at=tmp_path)
    events = load_events(run.folder / "tensorboard")
    (matrix,) = events.Images("validation/confusion_matrix")
    assert (matrix.width == matrix.height + 70) == (count == 20)  # of a note otherwise
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("precision_recall/")]
    descriptions = {events.SummaryMetadata(tag).summary_description for tag in tags}
    assert len(tags) == 20
    assert titles == [f"first 6 of {count} classes"]
    assert descriptions == {"" if count == 20 else "Precision-recall curves are of the first 20 classes."}
