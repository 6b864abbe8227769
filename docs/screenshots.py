"""Remake the images in docs/images, from a sweep and a run on drawn images.

    python docs/screenshots.py

Needs Debian's chromium (apt-get install chromium) and the extra `dev`.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 1280, 800
PATIENCE = 60_000
"""Milliseconds."""
COPYCAT = (sys.executable, "-m", "copycat")
SWEEP = (
    *("train", "-m", "optimizer=adam", "trainer.max_epochs=150", "sweep.folder=sweep"),
    "optimizer.lr=1e-5,3e-5,1e-4,3e-4,1e-3,3e-3",
)
RUN = ("train", "trainer.max_epochs=500", "output_dir=runs")


@contextmanager
def serve_board(folder: str, at: Path) -> Iterator[str]:
    """Serve `copycat board` and yield its address."""
    command = [*COPYCAT, "board", folder, "--no-browser"]
    with subprocess.Popen(command, cwd=at, stdout=subprocess.PIPE, text=True) as board:
        try:
            assert board.stdout is not None
            yield board.stdout.readline().split()[0]
        finally:
            board.terminate()


def save_screenshot(page: Page, name: str) -> None:
    """Save a screenshot in 128 colors, which suffice for a page and need a third of the bytes."""
    with Image.open(BytesIO(page.screenshot())) as image:
        image.convert("RGB").quantize(128).save(IMAGES / f"{name}.png", optimize=True)


def main() -> None:
    """Make all images."""
    browser_path = shutil.which("chromium") or sys.exit("expected chromium: apt-get install chromium")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        at = Path(folder)
        for words in (SWEEP, RUN):
            subprocess.run([*COPYCAT, *words], cwd=at, check=True, stdout=subprocess.DEVNULL)
        (run,) = (manifest.parent for manifest in at.glob("runs/*/*/*/run.json"))
        subprocess.run([*COPYCAT, "report", run.relative_to(at), "--to", "report.html"], cwd=at, check=True)
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(PATIENCE)
        with serve_board("sweep", at) as address:
            page.goto(f"{address}#timeseries")
            page.locator("metrics-tag-filter-component input").fill("^(loss|accuracy)$")
            page.locator("metrics-filtered-view card-view line-chart").first.wait_for()
            page.keyboard.press("Escape")
            page.get_by_role("button", name="Settings").click()  # closes them
            page.wait_for_timeout(3000)  # curves are drawn in steps
            save_screenshot(page, "timeseries")
            page.goto(f"{address}#hparams")
            page.get_by_text("trial 5 ").first.wait_for()
            page.wait_for_timeout(1000)
            save_screenshot(page, "hparams")
        with serve_board("runs", at) as address:
            page.goto(f"{address}#images")
            page.locator("tf-image-loader img").first.wait_for()
            page.wait_for_timeout(2000)
            save_screenshot(page, "images")
        page.goto(f"file://{at}/report.html")
        page.set_viewport_size({"width": WIDTH, "height": 1600})
        save_screenshot(page, "report")
        browser.close()


if __name__ == "__main__":
    main()
