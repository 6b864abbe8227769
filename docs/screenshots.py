"""Remake the pictures in docs/images from real commands on drawn images.

    python docs/screenshots.py              # all of them
    python docs/screenshots.py readme       # one, or several, by the names of the functions below

Needs Debian's chromium (apt-get install chromium) and the extra `dev`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from terminal import COLUMNS, Scheme, render_page, render_terminal

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 1280, 800
"""Pixels of a picture."""
PATIENCE = 60_000
"""Milliseconds."""
MAX_BYTES = 200_000
"""Size of a picture, at most."""
COPYCAT = (sys.executable, "-m", "copycat")
SWEEP = ("optimizer=adam", "optimizer.lr=3e-5,1e-4,3e-4,1e-3", "model=logistic,shallow", "trainer.max_epochs=150")
CONVOLUTIONAL = ("model=cnn", "optimizer=adam", "data.batch_size=32", "trainer.max_epochs=30")
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


@dataclass
class Studio:
    """Hold a folder for runs, which are trained when a picture first needs them, and a browser."""

    at: Path
    browser: Browser

    @cached_property
    def trained(self) -> str:
        """Train a run, and return what that prints."""
        return self.copycat("train", "output_dir=runs")

    @cached_property
    def run(self) -> Path:
        """Return the folder of the run, relative to `at`."""
        assert self.trained
        (manifest,) = self.at.glob("runs/*/*/*/run.json")
        return manifest.parent.relative_to(self.at)

    @cached_property
    def convolutional(self) -> Path:
        """Train a convolutional network, and return the folder of the run, relative to `at`."""
        self.copycat("train", *CONVOLUTIONAL, "output_dir=convolutional")
        (manifest,) = self.at.glob("convolutional/*/*/*/run.json")
        return manifest.parent.relative_to(self.at)

    @cached_property
    def sweep(self) -> Path:
        """Return the folder of a sweep, relative to `at`."""
        self.copycat("train", "-m", *SWEEP, "sweep.folder=sweep")
        return Path("sweep")

    def copycat(self, *words: str | Path) -> str:
        """Run a command and return what it prints to standard output."""
        command, environment = [*COPYCAT, *map(str, words)], {**os.environ, "COLUMNS": str(COLUMNS)}
        return subprocess.run(
            command, cwd=self.at, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    @contextmanager
    def page(self, *, width: int = WIDTH, height: int = HEIGHT, scheme: Scheme = "light") -> Iterator[Page]:
        """Open an empty page."""
        page = self.browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.set_default_timeout(PATIENCE)
        yield page
        page.close()

    @contextmanager
    def serve(self, *words: str | Path, place: str = "") -> Iterator[Page]:
        """Run a command that serves a page, and open a place of the page."""
        command = [*COPYCAT, *map(str, words), "--no-browser"]
        with subprocess.Popen(command, cwd=self.at, stdout=subprocess.PIPE, text=True) as server, self.page() as page:
            try:
                assert server.stdout is not None
                page.goto(f"{server.stdout.readline().split()[0]}{place}")
                yield page
            finally:
                server.terminate()

    def report(self, *folders: Path) -> str:
        """Write a report and return its address."""
        page = self.at / f"{'-'.join(folder.name for folder in folders)}.html"
        self.copycat("report", *folders, "--to", page)
        return f"file://{page}"


def save(page: Page, name: str, *, whole: bool = False) -> None:
    """Save a screenshot with as many colors as fit into MAX_BYTES; 128 suffice for a page."""
    with Image.open(BytesIO(page.screenshot(full_page=whole))) as screenshot:
        image = screenshot.convert("RGB")
    for colors in (128, 64, 32):
        image.quantize(colors).save(IMAGES / f"{name}.png", optimize=True)
        if (IMAGES / f"{name}.png").stat().st_size <= MAX_BYTES:
            return
    sys.exit(f"{name}.png: expected {MAX_BYTES} bytes at most; got more with {colors} colors.")


def readme(studio: Studio) -> None:
    """Show a terminal that trains and reruns, beside the report: the first screen of README, light and dark."""
    run = studio.run
    rerun = studio.copycat("rerun", run)
    trained = studio.trained.replace(str(run), "RUN")
    commands = [("copycat train", trained), ("copycat rerun RUN", rerun), ("copycat report RUN", "RUN/report.html")]
    address = studio.report(run)
    for scheme in SCHEMES:
        with studio.page(scheme=scheme, width=820, height=1080) as page:
            page.goto(address)
            report = b64encode(page.screenshot()).decode()
        with studio.page(scheme=scheme) as page:
            page.set_content(render_page(render_terminal(commands, scheme=scheme), report, scheme=scheme))
            save(page, f"readme-{scheme}", whole=True)


def timeseries(studio: Studio) -> None:
    """Show training and validation loss of a sweep's trials."""
    with studio.serve("board", studio.sweep, place="#timeseries") as page:
        page.locator("metrics-tag-filter-component input").fill("^(loss|accuracy)$")
        page.locator("metrics-filtered-view card-view line-chart").first.wait_for()
        page.get_by_role("textbox", name="Filter runs (regex)").fill("logistic/")  # one line each for train and val
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Settings").click()  # closes them
        page.wait_for_timeout(3000)  # curves are drawn in steps
        save(page, "timeseries")


def hparams(studio: Studio) -> None:
    """Show the trials of a sweep in HParams, with what varies and their metrics."""
    with studio.serve("board", studio.sweep, place="#hparams") as page:
        page.get_by_text("val/loss (best epoch)").first.wait_for()
        page.wait_for_timeout(1000)
        save(page, "hparams")


def images(studio: Studio) -> None:
    """Show model inputs, confusion matrix and errors of a run."""
    with studio.serve("board", studio.run, place="#images") as page:
        page.set_viewport_size({"width": WIDTH, "height": 1150})
        page.locator("tf-image-loader img").first.wait_for()
        page.wait_for_timeout(2000)
        save(page, "images")


def report(studio: Studio) -> None:
    """Show the report of a run."""
    save_report(studio, "report", studio.run)


def sweep(studio: Studio) -> None:
    """Show the report of a sweep."""
    save_report(studio, "sweep", studio.sweep)


def comparison(studio: Studio) -> None:
    """Show the report of three trials side by side."""
    save_report(studio, "comparison", *(studio.sweep / str(trial) for trial in (0, 1, 2)))


def app(studio: Studio) -> None:
    """Show two runs side by side in the app, which classify a validation image."""
    with studio.serve("app", studio.run, studio.convolutional) as page:
        page.locator("#examples button").nth(1).click()
        page.locator(".result:not([aria-busy])").wait_for()
        save(page, "app", whole=True)


def save_report(studio: Studio, name: str, *folders: Path) -> None:
    """Save the beginning of a report."""
    address = studio.report(*folders)
    with studio.page(height=1600) as page:
        page.goto(address)
        page.wait_for_timeout(1000)  # charts are drawn by a script
        save(page, name)


PICTURES: tuple[Callable[[Studio], None], ...] = (readme, timeseries, hparams, images, report, sweep, comparison, app)


def main() -> None:
    """Make the pictures that are named, or all."""
    by_name = {picture.__name__: picture for picture in PICTURES}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*by_name, []], metavar="NAME", help=", ".join(by_name))
    names = parser.parse_args().names or list(by_name)
    browser_path = shutil.which("chromium") or sys.exit("expected chromium: apt-get install chromium")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        studio = Studio(Path(folder), browser)
        for name in names:
            print(name, flush=True)
            by_name[name](studio)
        browser.close()


if __name__ == "__main__":
    main()
