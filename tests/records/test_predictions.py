"""predictions.csv says what the weights say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from copycat.config.errors import UserError
from copycat.records.predictions import Predictions, read_predictions, write_predictions
from copycat.records.safe_tensors import read_weights
from copycat.training.components import build_components
from copycat.training.run_context import class_probabilities
from tests.support.runs import QUIET, compose_quickly, train_tiny


@pytest.mark.parametrize("loss", ["bce", "cross_entropy", "mse"])
def test_predictions_have_the_bits_of_the_final_weights(loss: str, tiny: Path, tmp_path: Path) -> None:
    words = ("trainer.max_epochs=3", f"loss={loss}", "model=shallow")
    folder = train_tiny(*words, *QUIET, data=tiny, at=tmp_path).folder
    parts = build_components(compose_quickly(["data=folder", f"data.root={tiny}", "data.image_size=8", *words]).config)
    network, criterion = parts.classifier.network.eval(), parts.classifier.loss
    network.load_state_dict(read_weights(folder / "weights.safetensors"))
    part = parts.data.parts["val"]
    assert isinstance(part.images, torch.Tensor)
    with torch.no_grad():
        said = criterion.probability(network(part.images / 255))
    found = read_predictions(folder, classes=2)["val"]
    assert np.array_equal(found.label, part.labels.numpy())
    column = said if said.ndim == 1 else said[:, 1]
    assert np.array_equal(found.probability[:, 1].astype(np.float32), column.numpy())
    assert found.probability.sum(1) == pytest.approx(1, abs=1e-6)


def test_a_test_part_has_its_own_rows(tiny: Path, tmp_path: Path) -> None:
    words = ("trainer.max_epochs=1", "test=true", "data.split=holdout")
    folder = train_tiny(*words, *QUIET, data=tiny, at=tmp_path).folder
    assert read_predictions(folder, classes=2).keys() == {"val", "test"}


def test_a_folder_without_predictions_gives_none(tmp_path: Path) -> None:
    assert read_predictions(tmp_path, classes=2) == {}


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").touch()
    with pytest.raises(UserError, match=r"predictions\.csv: expected the predictions of a run; it is empty\."):
        read_predictions(tmp_path, classes=2)


def test_probabilities_of_float64_keep_all_digits(tmp_path: Path) -> None:
    said = torch.tensor([0.1, 0.7], dtype=torch.float64)
    found = Predictions(np.array([0, 1]), class_probabilities(said).numpy())
    write_predictions(tmp_path, {"val": found})
    assert read_predictions(tmp_path, classes=2)["val"].probability[:, 1].tolist() == [0.1, 0.7]


def test_several_classes_an_image_are_read_back(tmp_path: Path) -> None:
    label, probability = np.array([[1, 0, 1], [0, 0, 0]]), np.array([[0.9, 0.2, 0.4], [0.1, 0.2, 0.5]])
    write_predictions(tmp_path, {"val": Predictions(label, probability)})
    found = read_predictions(tmp_path, classes=3)["val"]
    assert (found.label.tolist(), found.probability.tolist()) == (label.tolist(), probability.tolist())
    assert found.is_multi_label
    assert found.is_correct.tolist() == [False, True]


@pytest.mark.parametrize("cell", ["3", "0;3", "-1", "a"])
def test_a_label_of_no_class_is_refused(cell: str, tmp_path: Path) -> None:
    header = "part,index,labels,probability_0,probability_1,probability_2"
    (tmp_path / "predictions.csv").write_text(f"{header}\r\nval,0,{cell},0.1,0.2,0.3\r\n")
    with pytest.raises(ValueError, match=r"predictions\.csv: .*; (expected labels of 3 classes|invalid literal)"):
        read_predictions(tmp_path, classes=3)
