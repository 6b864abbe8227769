"""Candidates fit the size and the number of images."""

from pathlib import Path

import pytest

from copycat.config.compose import compose
from copycat.sweeps.best.portfolio import make_candidate


@pytest.fixture
def fixed(tiny: Path) -> list[str]:
    return ["data=folder", f"data.root={tiny}"]


@pytest.mark.parametrize(
    ("name", "side", "key", "size"),
    [
        ("logistic", 8, "data.image_size", 16),
        ("logistic", 60, "data.image_size", 64),
        ("logistic", 500, "data.image_size", 64),
        ("features", 100, "model.backbone_size", 128),
        ("features", 180, "model.backbone_size", 224),
    ],
)
def test_images_are_as_large_as_the_network_uses_and_few_are_enlarged(
    name: str, side: int, key: str, size: int, fixed: list[str]
) -> None:
    assert f"{key}={size}" in make_candidate(name, fixed, images=100, side=side).words


def test_more_images_take_fewer_epochs_of_more_steps(fixed: list[str]) -> None:
    def find_epochs(images: int) -> int:
        words = make_candidate("cnn", fixed, images=images, side=64).words
        return int(compose([*fixed, *words]).config["trainer"]["max_epochs"])

    assert find_epochs(50) == find_epochs(200) == 60
    assert find_epochs(800) == 30
    assert find_epochs(1_000_000) == 5
    assert not [word for word in make_candidate("logistic", fixed, images=800, side=64).words if "epochs" in word]


def test_what_is_typed_has_precedence(fixed: list[str]) -> None:
    typed = [*fixed, "trainer.max_epochs=3", "data.image_size=32"]
    assert make_candidate("cnn", typed, images=800, side=64).words == ["experiment=portfolio/cnn"]
