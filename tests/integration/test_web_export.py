"""The page of `copycat export --format web`, opened as a file by a browser that has no network."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, Page, expect

from copycat.data.decode import decode_pixels
from copycat.deploy.arguments import open_completed
from copycat.deploy.decision import decide, decide_labels, join_names, make_sets
from copycat.deploy.predict import Prediction, predict_files
from copycat.deploy.predictor import open_predictor
from tests.support.browser import BrowserPage, check_layout, open_page
from tests.support.commands import call_copycat
from tests.support.runs import QUIET, train_tiny

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATIENCE = 30_000
"""Milliseconds."""
LOSSY = 6
"""Largest difference of a pixel, of 255, in JPEG, which Pillow decodes at a reduced size; none in other formats."""
PROBABILITY = 0.001
"""Largest difference of a probability that such differences of pixels make."""


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("model=cnn", "model.channels=[4]", "trainer.max_epochs=5", "optimizer=adam")
    run = train_tiny(*words, *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder
    call_copycat("calibrate", run, "--coverage", "0.8", "--cost-fn", "3")
    call_copycat("export", run, "--format", "web")
    return run


@pytest.fixture(scope="module")
def page(folder: Path, browser: Browser) -> Iterator[BrowserPage]:
    with open_page(browser) as seen:
        seen.page.context.set_offline(True)
        seen.page.goto((folder / "export" / "web" / "index.html").as_uri())
        expect(seen.page.get_by_role("status")).to_have_text("Ready.", timeout=PATIENCE)
        yield seen


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sequence[Path]]:
    """Images that decoders disagree on: lossless ones, and photographs as JPEG."""
    folder, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (70, 91, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    transparent = noise.copy()
    transparent.putalpha(noise.convert("L").filter(ImageFilter.BoxBlur(3)))
    lossless: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "noise.png": (noise, {}),
        "turned.png": (noise, {"exif": exif}),
        "gray.png": (noise.convert("L"), {}),
        "palette.png": (noise.quantize(16), {}),
        "transparent.png": (transparent, {}),
        "large.png": (noise.resize((901, 403), Image.Resampling.NEAREST), {}),
        "small.png": (noise.crop((0, 0, 5, 3)), {}),
        "same.png": (noise.crop((0, 0, 8, 8)), {}),
        "noise.bmp": (noise, {}),
        "noise.webp": (noise, {"lossless": True}),
    }
    photo = noise.resize((1640, 1230)).filter(ImageFilter.GaussianBlur(2))
    lossy = {"photo.jpg": photo, "small.jpg": photo.resize((130, 120)), "turned.jpg": photo}
    for name, (image, options) in lossless.items():
        image.save(folder / name, **options)
    for name, image in lossy.items():
        image.save(folder / name, quality=90, exif=exif if name.startswith("turned") else Image.Exif())
    return {"lossless": [folder / name for name in lossless], "lossy": [folder / name for name in lossy]}


def classify(page: Page, files: Sequence[Path]) -> list[tuple[NDArray[np.uint8], dict[str, float]]]:
    """Return the network's input, [3, H, W], and the probabilities of each image."""
    if page.locator(".result").count():
        page.get_by_role("button", name="Clear results").click()
    page.get_by_label("Choose images").set_input_files(files)
    expect(page.locator(".result:not([aria-busy])")).to_have_count(len(files), timeout=PATIENCE)
    found = []
    for result in reversed(page.locator(".result").all()):
        shape, colors = result.locator("canvas").evaluate(
            "c => [[c.height, c.width], [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
        )
        bars = result.locator("[data-probability]").evaluate_all("all => all.map(one => ({...one.dataset}))")
        pixels = np.array(colors, np.uint8).reshape(*shape, 4)[..., :3].transpose(2, 0, 1)
        found.append((pixels, {bar["name"]: float(bar["probability"]) for bar in bars}))
    return found


@pytest.mark.parametrize(("kind", "tolerance"), [("lossless", 0), ("lossy", LOSSY)])
def test_it_sees_and_says_what_predict_does(
    kind: str, tolerance: int, page: BrowserPage, folder: Path, images: Mapping[str, Sequence[Path]]
) -> None:
    files = images[kind]
    found = classify(page.page, files)
    with open_predictor(open_completed(folder)) as predictor:
        expected = list(predict_files(predictor, files))
    for file, (pixels, probabilities), prediction in zip(files, found, expected, strict=True):
        assert isinstance(prediction, Prediction)
        assert find_difference(pixels, file, fit="crop") <= tolerance, file.name
        allowed = PROBABILITY if kind == "lossy" else 1e-5
        assert [probabilities["cat"], probabilities["dog"]] == pytest.approx(prediction.probabilities, abs=allowed)
    assert page.errors == []
    assert {url.partition(":")[0] for url in page.requested_urls} <= {"file", "blob", "data"}


@pytest.mark.parametrize(("fit", "size"), [("pad", 7), ("squash", 64)])
def test_each_fit_and_size_is_resampled_to_the_same_pixels(
    fit: str, size: int, page: BrowserPage, images: Mapping[str, Sequence[Path]]
) -> None:
    files = [*images["lossless"], *images["lossy"]]
    page.page.evaluate("([size, fit]) => Object.assign(MODEL.decode, {size, fit})", [size, fit])
    page.page.evaluate("() => { predict = async () => [0.5, 0.5]; }")  # the network takes one size
    try:
        found = classify(page.page, files)
    finally:
        page.page.reload()
        expect(page.page.get_by_role("status")).to_have_text("Ready.", timeout=PATIENCE)
    for file, (pixels, _) in zip(files, found, strict=True):
        assert find_difference(pixels, file, fit=fit) <= (LOSSY if file.suffix == ".jpg" else 0), file.name


def find_difference(pixels: NDArray[np.uint8], file: Path, *, fit: str) -> int:
    """Return the largest difference from the pixels that Copycat decodes."""
    expected = decode_pixels(file, size=pixels.shape[-1], fit=fit)
    return int(np.abs(expected.astype(int) - pixels).max())


RULES: Sequence[Mapping[str, object]] = (
    {},
    {"costs": [[0, 1, 7], [2, 0, 1], [1, 5, 0]]},
    {"positive": 1, "threshold": 0.3},
    {"sets": "lac", "quantile": 0.7},
    {"sets": "aps", "quantile": 0.9},
)


@pytest.mark.parametrize("rule", RULES)
def test_it_decides_as_exported_scripts_do(rule: Mapping[str, Any], page: BrowserPage) -> None:
    probability = np.random.default_rng(0).dirichlet([0.5] * 3, size=200)
    labels, sets = page.page.evaluate(
        "([all, rule]) => [all.map(one => decide(one, rule)), all.map(one => makeSet(one, rule))]",
        [probability.tolist(), rule],
    )
    assert labels == decide(probability, **rule).tolist()
    expected = make_sets(probability, **rule)
    assert sets == ([None] * 200 if expected is None else expected.tolist())


def test_it_says_the_classes_above_their_thresholds_as_exported_scripts_do(page: BrowserPage) -> None:
    probability, thresholds = np.random.default_rng(0).random((200, 3)), [0.2, 0.5, 0.9]
    said = page.page.evaluate(
        "([all, rule]) => all.map(one => joinNames(['a', 'b', 'c'], decideLabels(one, rule)))",
        [probability.tolist(), thresholds],
    )
    decided = decide_labels(probability, thresholds=thresholds)
    assert said == [join_names(np.array(["a", "b", "c"])[row]) for row in decided]
    assert {"none", "a;b;c"} <= {*said}


def test_a_file_that_is_no_image_is_one_line_and_the_page_is_accessible(
    page: BrowserPage, tmp_path: Path, images: Mapping[str, Sequence[Path]]
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    page.page.get_by_label("Choose images").set_input_files([images["lossless"][0], broken])
    expect(page.page.get_by_role("status")).to_have_text("broken.png: not an image that this browser reads")
    expect(page.page.locator(".result.bad")).to_contain_text("not an image that this browser reads")
    page.page.evaluate("() => { MODEL.decode.max_pixels = 10; }")
    page.page.get_by_label("Choose images").set_input_files(images["lossless"][0])
    expect(page.page.get_by_role("status")).to_have_text("noise.png: 91 x 70 pixels, above the limit of 10")
    check_layout(page.page)
    page.page.reload()
    expect(page.page.get_by_role("status")).to_have_text("Ready.", timeout=PATIENCE)
