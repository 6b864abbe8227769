"""`copycat app`: a real process, met by a browser and by those who mean harm."""

import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from copycat.deploy.app_server import HOST
from copycat.deploy.arguments import open_completed
from copycat.deploy.predict import Prediction, predict_files
from copycat.deploy.predictor import open_predictor
from copycat.deploy.uploads import MAX_BYTES
from tests.support.app import list_runs, make_bomb, post_image, serve_app
from tests.support.browser import BrowserPage, check_layout, open_page
from tests.support.runs import QUIET, train_tiny

pytestmark = [pytest.mark.browser, pytest.mark.server]

PATIENCE = 30_000
"""Milliseconds."""


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, of which one has learned."""
    outputs = tmp_path_factory.mktemp("outputs")
    words = ("model=logistic", "optimizer=adam", "optimizer.lr=0.01", *QUIET)
    for epochs in (1, 200):
        train_tiny(f"trainer.max_epochs={epochs}", *words, data=tiny, at=outputs)  # it is in its name
    return outputs


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serve_app(folder) as address:  # requires that nothing went to standard error
        assert address.startswith("http://127.0.0.1:")
        yield address


@pytest.fixture
def seen(browser: Browser, address: str) -> Iterator[BrowserPage]:
    """The page as it opens, with its example images."""
    with open_page(browser) as seen:
        seen.page.goto(address)
        expect(seen.page.locator("#examples button")).to_have_count(8, timeout=PATIENCE)
        yield seen


def find_trained_run(folder: Path) -> Path:
    (found,) = (m.parent for m in folder.glob("*/*/*/run.json") if json.loads(m.read_text())["results"]["epochs"] > 1)
    return found


def expect_results(page: Page, count: int) -> None:
    expect(page.locator(".result:not([aria-busy])")).to_have_count(count, timeout=PATIENCE)


def test_several_runs_classify_images_side_by_side(
    seen: BrowserPage, address: str, folder: Path, tiny: Path, tmp_path: Path
) -> None:
    page, cat = seen.page, tiny / "train" / "cat" / "0.png"
    with open_predictor(open_completed(find_trained_run(folder))) as predictor:
        (expected,) = predict_files(predictor, [cat])
    assert isinstance(expected, Prediction)
    expect(page).to_have_title("2 runs: mlp on Folder · Copycat")
    boxes = page.get_by_role("checkbox", name="max_epochs")
    expect(boxes).to_have_count(2)
    assert all(box.is_checked() for box in boxes.all())
    page.get_by_label("Choose images").set_input_files([cat, tiny / "train" / "dog" / "1.png"])
    expect_results(page, 2)
    expect(page.get_by_role("status")).to_contain_text("2 of 2: 1.png: ")
    newest, oldest = page.locator(".result").all()
    expect(oldest.get_by_role("heading", level=2)).to_have_text("0.png")
    trained = oldest.locator(".prediction", has_text="max_epochs=200")
    assert oldest.locator(".prediction").count() == 2
    (share,) = (f"{100 * probability:.1f} %" for probability in [expected.probabilities[0]])
    expect(trained.locator(".value")).to_have_text(f"cat, {share}")
    expect(newest.locator(".prediction", has_text="max_epochs=200").locator(".value")).to_contain_text("dog")
    assert trained.locator(".bars li").first.inner_text().split() == ["cat", *share.split()]
    for image in page.locator(".result img:visible").all():
        assert image.evaluate("image => image.complete && image.naturalWidth > 0")
        assert image.get_attribute("alt")
    overlay, saliency = trained.locator(".overlay"), oldest.get_by_label("Saliency")
    before = float(overlay.evaluate("image => getComputedStyle(image).opacity"))
    saliency.press("End")
    assert float(overlay.evaluate("image => getComputedStyle(image).opacity")) == 1 > before
    oldest.get_by_label("Model input").check()
    expect(trained.locator(".input")).to_be_visible()
    assert seen.errors == []

    (tmp_path / "page.jpg").write_text("<html><body>no</body></html>")
    (tmp_path / "empty.png").write_bytes(b"")
    page.get_by_label("Choose images").set_input_files([tmp_path / "page.jpg", tmp_path / "empty.png"])
    expect_results(page, 4)
    texts = page.locator(".result.bad").all_inner_texts()
    assert [text.split("\n\n") for text in texts] == [
        ["empty.png", "empty file"],
        ["page.jpg", "a web page, not an image"],
    ]
    expect(page.get_by_role("status")).to_have_text("2 of 2: empty.png: empty file.")

    check_layout(page)
    page.emulate_media(media="print")
    expect(page.get_by_text("Choose images")).to_be_hidden()
    expect(oldest).to_be_visible()


def make_event(kind: str, name: str) -> str:
    """Write a script that sends an event of the clipboard or of a drag, with a file of the given content."""
    argument, field = ("ClipboardEvent", "clipboardData") if kind == "paste" else ("DragEvent", "dataTransfer")
    return f"""content => {{
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(content)], {name!r}, {{ type: "image/png" }}));
      document.body.dispatchEvent(new {argument}({kind!r}, {{ {field}: data, bubbles: true, cancelable: true }}));
    }}"""


def test_images_are_dropped_pasted_or_taken_from_the_examples(seen: BrowserPage, tiny: Path) -> None:
    page, content = seen.page, list((tiny / "val" / "cat" / "0.png").read_bytes())
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # the first run is left out
    page.evaluate(make_event("drop", "<b>../../cat.png"), content)
    page.evaluate(make_event("paste", "image.png"), content)
    expect_results(page, 2)
    page.locator("#examples button").first.press("Enter")
    expect_results(page, 3)
    titles = page.locator(".result h2").all_inner_texts()
    assert titles == ["0.png (true class: cat)", "image.png", "<b>../../cat.png"]  # as a text
    assert page.locator(".prediction").count() == 3
    assert len(set(page.locator(".result .value").all_inner_texts())) == 1  # the same image, three times
    page.get_by_role("button", name="Clear results").click()
    expect_results(page, 0)
    assert seen.errors == []
    assert [url for url in seen.requested_urls if not url.startswith((page.url, "data:"))] == []


def test_a_phone_offers_its_camera(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    page.goto(address)
    expect(page.get_by_text("Take a photo")).to_be_visible()
    camera = page.get_by_label("Take a photo")
    assert (camera.get_attribute("capture"), camera.get_attribute("accept")) == ("environment", "image/*")
    page.close()


def test_bombs_giants_and_strangers_are_refused(address: str) -> None:
    name = list_runs(address)[0]
    status, said = post_image(address, make_bomb(16_000), name=name)
    assert (status, "pixels" in str(said["error"])) == (422, True)
    status, said = post_image(address, b"x" * (MAX_BYTES + 1), name=name)
    assert status == 413
    assert post_image(address, b"x", name="../../etc/passwd")[0] == 404
    assert (
        post_image(address, b"x", name=name, host="evil.example")[0] == 400
    )  # a page elsewhere that points its name here
    noise = np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8).tobytes()
    assert post_image(address, noise, name=name)[0] == 422
    for path in ("app.html", "../run.json", "%2e%2e/run.json", "predict", "examples?run=../../etc"):
        with pytest.raises(urllib.error.HTTPError, match=r"404|405"):
            urllib.request.urlopen(f"{address}{path}", timeout=60)


def test_a_client_that_goes_away_while_it_sends_prints_nothing(address: str) -> None:
    name, place = list_runs(address)[0], urllib.parse.urlsplit(address)
    query = urllib.parse.urlencode({"run": name})
    head = f"POST /page/predict?{query} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection((HOST, place.port or 80), timeout=60) as client:
        client.sendall(head.encode() + b"half of it")
    assert post_image(address, b"x", name=name)[0] == 422  # after that; the end of the server checks its output
