"""What is said of images and changed copies of them: the mean, the same each time, and of each image alone."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from copycat.data.augmentation.strong import Strong
from copycat.data.augmentation.transforms import Light
from copycat.deploy.arguments import open_completed
from copycat.deploy.evaluation import evaluate_parts
from copycat.deploy.predictor import open_predictor
from tests.support.commands import call_copycat
from tests.support.runs import QUIET, train_tiny


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("model=logistic", "optimizer=adam", "optimizer.lr=0.01", "trainer.max_epochs=20")
    mixed = ("augmentation=mixup", "augmentation/base=strong")
    return train_tiny(*words, *mixed, *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder


def make_random_images(count: int) -> Tensor:
    pixels = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return (pixels * 255).byte()


def test_the_mean_over_an_image_and_its_copies_is_the_same_in_any_batch(folder: Path) -> None:
    some = make_random_images(5)
    with open_predictor(open_completed(folder), views=4) as predictor:
        found = predictor(some)
        assert torch.equal(predictor(some), found)
        alone = torch.cat([predictor(image[None]) for image in some])
        floats = some.float().div(255)
        shown = torch.cat([floats, *predictor.augment(floats)])
        with torch.no_grad():
            one = predictor.network(shown)[:, 0].sigmoid().view(4, 5).mean(0)
    assert torch.allclose(alone, found, atol=1e-6)
    assert torch.allclose(found[:, 1], one, atol=1e-6)
    assert torch.allclose(found.sum(1), torch.ones(5))
    assert len({tuple(view.flatten().tolist()) for view in shown.view(4, 5, 3, 8, 8)}) == 4


def test_one_view_is_the_image_as_it_is_to_the_bit(folder: Path) -> None:
    some = make_random_images(5)
    with (
        open_predictor(open_completed(folder), views=1) as one,
        open_predictor(open_completed(folder)) as plain,
        torch.no_grad(),
    ):
        assert torch.equal(one(some), plain(some))
        assert torch.equal(one(some)[:, 1], one.network(some.float().div(255))[:, 0].sigmoid())


def test_copies_use_the_run_s_augmentation_without_mixing_or_else_the_light_one(
    folder: Path, tiny: Path, tmp_path: Path
) -> None:
    with open_predictor(open_completed(folder), views=2) as predictor:
        assert isinstance(predictor.augmentation, Strong)
    plain = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path).folder
    with open_predictor(open_completed(plain), views=2) as predictor:
        assert isinstance(predictor.augmentation, Light)


def test_more_views_leave_those_before_as_they_are(folder: Path) -> None:
    floats = make_random_images(2).float().div(255)
    with (
        open_predictor(open_completed(folder), views=3) as few,
        open_predictor(open_completed(folder), views=6) as many,
    ):
        pairs = list(zip(few.augment(floats), many.augment(floats), strict=False))
    assert len(pairs) == 2
    assert all(torch.equal(a, b) for a, b in pairs)


def test_both_commands_take_views_and_the_run_s_own_predictions_stay(
    folder: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "predictions.csv").read_bytes()
    said = []
    for views in ("1", "5"):
        call_copycat("predict", folder, tiny / "val", "--json", "--views", views)
        said.append([row["probability/cat"] for row in json.loads(capsys.readouterr().out)["predictions"]])
        call_copycat("evaluate", folder, "--json", "--views", views)
        rows = json.loads(capsys.readouterr().out)["metrics"]
        assert rows == evaluate_parts(open_completed(folder), [], views=int(views)).rows()
    assert said[0] != said[1]
    assert said[0] == pytest.approx(said[1], abs=0.3)
    assert (folder / "predictions.csv").read_bytes() == before
    call_copycat("predict", folder, tiny, "--views", "0", status=2)
    assert "--views: expected a whole number from 1 to 1000; got '0'" in capsys.readouterr().err
