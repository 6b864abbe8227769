"""`copycat app`: a real process, met by a browser and by those who mean harm."""

import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, expect

from copycat.deploy.app import HOST
from copycat.deploy.arguments import open_completed
from copycat.deploy.predict import Prediction, predict_files
from copycat.deploy.predictor import open_predictor
from copycat.deploy.uploads import MAX_BYTES
from tests.support.app import post_image, serve_app
from tests.support.browser import open_page
from tests.support.commands import run_copycat
from tests.support.runs import QUIET, train_tiny

pytestmark = [pytest.mark.browser, pytest.mark.server]


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
    with serve_app(folder) as address:
        assert address.startswith("http://127.0.0.1:")
        yield address


def find_trained_run(folder: Path) -> Path:
    (found,) = (m.parent for m in folder.glob("*/*/*/run.json") if json.loads(m.read_text())["results"]["epochs"] > 1)
    return found


def list_run_options(browser: Browser, address: str) -> list[str]:
    with open_page(browser) as seen:
        seen.page.goto(address)
        return seen.page.locator("option").all_inner_texts()


def test_a_cat_that_is_dropped_is_called_a_cat(browser: Browser, address: str, folder: Path, tiny: Path) -> None:
    cat = tiny / "train" / "cat" / "0.png"
    with open_predictor(open_completed(find_trained_run(folder))) as predictor:
        (expected,) = predict_files(predictor, [cat])
    assert isinstance(expected, Prediction)
    with open_page(browser, width=900) as seen:
        page = seen.page
        page.goto(address)
        options = page.locator("option").all_inner_texts()
        assert len(options) == 2
        (trained,) = (name for name in options if "max_epochs=200" in name)
        page.locator("select").select_option(trained)
        assert page.get_by_label("Drop images here").get_attribute("multiple") is not None
        page.get_by_label("Drop images here").set_input_files([cat, tiny / "train" / "dog" / "1.png"])
        says = page.locator(".says")
        expect(says).to_have_count(2, timeout=30_000)
        assert says.all_inner_texts() == ["dog", "cat"]  # the newest first
        assert f"{expected.probabilities[0]:.4f}" in page.locator("li").last.inner_text()
        for image in page.locator("li img").all():
            assert image.evaluate("image => image.complete && image.naturalWidth > 0")
            assert image.get_attribute("alt")
        found = Axe().run(page)
        serious = [fault for fault in found.response["violations"] if fault["impact"] in ("serious", "critical")]
        assert [fault["id"] for fault in serious] == []
        assert seen.errors == []


def test_a_drop_by_hand_is_taken(browser: Browser, address: str, tiny: Path) -> None:
    content = list((tiny / "val" / "cat" / "0.png").read_bytes())
    drop = """content => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(content)], "<b>../../cat.png", { type: "image/png" }));
      document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    with open_page(browser) as seen:
        seen.page.goto(address)
        seen.page.evaluate(drop, content)
        expect(seen.page.locator(".says")).to_have_count(1, timeout=30_000)
        assert "<b>../../cat.png" in seen.page.locator("li").inner_text()  # as a text
        assert seen.errors == []


def test_what_is_no_image_gets_its_line_and_the_others_go_on(
    browser: Browser, address: str, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "page.jpg").write_text("<html><body>no</body></html>")
    (tmp_path / "empty.png").write_bytes(b"")
    files = [tmp_path / "page.jpg", tmp_path / "empty.png", tiny / "val" / "dog" / "0.png"]
    with open_page(browser) as seen:
        seen.page.goto(address)
        seen.page.get_by_label("Drop images here").set_input_files(files)
        expect(seen.page.locator(".says")).to_have_count(1, timeout=30_000)
        texts = "\n".join(seen.page.locator("li").all_inner_texts())
    assert "page.jpg: a web page, not an image" in texts
    assert "empty.png: empty file" in texts


def test_bombs_giants_and_strangers_are_refused(browser: Browser, address: str) -> None:
    name = list_run_options(browser, address)[0]
    bomb = BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    status, said = post_image(address, bomb.getvalue(), name=name)
    assert (status, "pixels" in str(said["error"])) == (422, True)
    status, said = post_image(address, b"x" * (MAX_BYTES + 1), name=name)
    assert status == 413
    assert post_image(address, b"x", name="../../etc/passwd")[0] == 404
    assert (
        post_image(address, b"x", name=name, host="evil.example")[0] == 400
    )  # a page elsewhere that points its name here
    noise = np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8).tobytes()
    assert post_image(address, noise, name=name)[0] == 422
    for path in ("app.html", "../run.json", "%2e%2e/run.json", "predict"):
        with pytest.raises(urllib.error.HTTPError, match=r"404|405"):
            urllib.request.urlopen(f"{address}{path}", timeout=60)


def test_a_client_that_goes_away_while_it_sends_prints_nothing(folder: Path) -> None:
    with serve_app(folder) as address:  # requires that nothing went to standard error
        with urllib.request.urlopen(address, timeout=60) as page:
            name = page.read().decode().partition("<option>")[2].partition("</option>")[0]
        place = urllib.parse.urlsplit(address)
        query = urllib.parse.urlencode({"run": name})
        head = f"POST /predict?{query} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 1000\r\n\r\n"
        with socket.create_connection((HOST, place.port or 80), timeout=60) as client:
            client.sendall(head.encode() + b"half of it")
        assert post_image(address, b"x", name=name)[0] == 422  # after that


def test_a_folder_without_a_run_is_a_clear_line(tmp_path: Path) -> None:
    done = run_copycat("app", tmp_path, "--no-browser", at=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"copycat: {tmp_path}: expected a completed run, or a folder of them; got none. See them: copycat runs.\n"
    )
