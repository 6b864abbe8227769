"""The pages of a run, of a comparison and of a sweep as a reader meets them, in a real browser."""

import re
import shutil
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from copycat.inspection.reports.contents import Axis, Chart, PageImage, Section, Series
from copycat.inspection.reports.page import Page as Report
from copycat.inspection.reports.page import write_page
from copycat.records.metrics_csv import read_history
from copycat.records.trial_file import write_trial
from copycat.sweeps.report import make_report
from tests.support.browser import check_layout, open_page
from tests.support.runs import train_tiny
from tests.support.sweep_folders import make_trial, write_sweep_folder

pytestmark = pytest.mark.browser

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
"""Of the trials, the best first."""
SPACE = {"optimizer.lr": "tag(log,interval(1e-2,10))", "activation": "relu,elu"}


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of twelve trials that share one run's files, as its page needs no others."""
    at = tmp_path_factory.mktemp("pages")
    run = train_tiny("trainer.max_epochs=4", "model=shallow", data=tiny, at=at).folder
    trials = [
        make_trial(number, {"optimizer.lr": rate, "activation": ("relu", "elu")[number % 2]}, number / 10)
        for number, rate in enumerate(RATES)
    ]
    sweep = write_sweep_folder(at / "sweep", trials, space=SPACE)
    for trial in trials:
        shutil.copytree(run, sweep / str(trial.number), dirs_exist_ok=True)
        write_trial(sweep / str(trial.number), trial)
    return sweep


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, Path]:
    """The path of each kind of page."""
    folders = {"run": [folder / "0"], "comparison": [folder / "0", folder / "1"], "sweep": [folder]}
    for kind, each in folders.items():
        write_page(make_report(each), folder.parent / f"{kind}.html")
    return {kind: folder.parent / f"{kind}.html" for kind in folders}


@pytest.fixture
def run_page(browser: Browser, pages: dict[str, Path]) -> Iterator[Page]:
    with open_page(browser) as seen:
        seen.page.goto(f"file://{pages['run']}")
        yield seen.page
        assert seen.errors == []


RECORD_TEXTS = """
    const draw = CanvasRenderingContext2D.prototype.fillText;
    window.drawn = [];
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
        const matrix = this.getTransform(), width = this.measureText(text).width;
        if (text) window.drawn.push([text, matrix.e + x - width / 2, matrix.e + x + width / 2, y]);
        return draw.apply(this, arguments);
    };
"""
"""Keep what charts write: the text, its left and right end, and its y."""


def draw_chart(browser: Browser, chart: Chart, at: Path) -> list[tuple[str, float, float, float]]:
    image = PageImage(b"", "A chart.", charts=[chart])
    write_page(Report("A page", "", [Section(title="Chart", images=[image])]), at)
    with open_page(browser, width=480) as seen:
        seen.page.add_init_script(RECORD_TEXTS)
        seen.page.goto(f"file://{at}")
        seen.page.wait_for_function("window.drawn.length > 0")
        drawn: list[tuple[str, float, float, float]] = seen.page.evaluate("window.drawn")
        return drawn


@pytest.mark.parametrize("draw", ["line", "points"])
def test_the_axis_of_a_single_epoch_has_no_other(
    draw: Literal["line", "points"], browser: Browser, tmp_path: Path
) -> None:
    series = [Series(label=label, x=[0], y=[0.5], draw=draw) for label in ("train/loss", "val/loss")]
    chart = Chart(title="loss", x_axis=Axis(label="epoch"), y_axis=Axis(label="loss"), series=series)
    texts = [text for text, *_ in draw_chart(browser, chart, tmp_path / "page.html")]
    assert "0" in texts
    assert not {"50", "100"} & {*texts}  # uPlot's range of a single x


def test_counts_have_no_fractions_on_their_axes(browser: Browser, tmp_path: Path) -> None:
    series = Series(label="remaining", y=[2, 1])
    chart = Chart(title="left", x_axis=Axis(label="round"), y_axis=Axis(label="candidates"), x=[0, 1], series=[series])
    texts = [text for text, *_ in draw_chart(browser, chart, tmp_path / "page.html")]
    assert sorted({*texts} - {"round", "candidates"}) == ["0", "1", "2"]


def test_powers_of_ten_on_an_axis_do_not_overlap(browser: Browser, tmp_path: Path) -> None:
    powers = [*range(-5, 12)]
    series = Series(label="completed", x=[10.0**power for power in powers], y=powers, draw="points")
    chart = Chart(title="loss", x_axis=Axis(label="lr", log=True), y_axis=Axis(label="loss"), series=[series])
    drawn = draw_chart(browser, chart, tmp_path / "page.html")
    level = next(y for text, _, _, y in drawn if "e-" in text)
    ends = sorted({(left, right) for _, left, right, y in drawn if y == level})
    assert len(ends) > 2
    assert all(right < left for (_, right), (left, _) in pairwise(ends))


STATIC_IMAGES = {"run": 3, "comparison": 1, "sweep": 5}


@pytest.mark.parametrize("kind", STATIC_IMAGES)
def test_a_page_opens_offline_at_three_widths_light_and_dark_and_prints_without_a_fault(
    kind: str, browser: Browser, pages: dict[str, Path]
) -> None:
    with open_page(browser) as seen:
        page, static = seen.page, seen.page.locator("figure.live > img:visible")
        page.context.set_offline(True)
        page.goto(f"file://{pages[kind]}")
        expect(page.locator("canvas").first).to_be_visible()
        page.keyboard.press("Tab")  # the first stop of a reader by keyboard
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#s1"
        check_layout(page)
        assert static.count() == 0
        page.emulate_media(media="print", color_scheme="dark")
        assert static.count() == STATIC_IMAGES[kind]
        for image in page.locator("img:visible").all():
            assert image.evaluate("image => image.complete && image.naturalWidth > 0")
        expect(page.locator("canvas:visible, nav:visible, button:visible")).to_have_count(0)
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"  # dark on white
        assert seen.errors == []
        assert [url for url in seen.requested_urls if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("kind", STATIC_IMAGES)
def test_a_page_has_static_images_where_scripts_are_off(kind: str, browser: Browser, pages: dict[str, Path]) -> None:
    with open_page(browser, scripts=False, width=360) as seen:
        seen.page.goto(f"file://{pages[kind]}")
        assert seen.page.locator("figure:is(.chart, .parallel) > img:visible").count() == STATIC_IMAGES[kind]
        expect(seen.page.locator("canvas, .gallery-filter:visible")).to_have_count(0)


def read_canvas(panel: Locator) -> str:
    content: str = panel.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    return content


def test_a_chart_is_read_switched_and_zoomed_by_keyboard(run_page: Page, folder: Path) -> None:
    panel = run_page.locator(".panel").first
    rows = read_history(folder / "0")
    panel.get_by_role("slider").focus()
    run_page.keyboard.press("End")
    spoken = panel.get_by_role("slider").get_attribute("aria-valuetext") or ""
    assert spoken.startswith("epoch 3, train/loss ")
    values = {name: float(value) for name, value in re.findall(r"(\w+/loss) ([\d.]+)", spoken)}
    assert values == pytest.approx({name: rows[-1][name] for name in ("train/loss", "val/loss")}, abs=1e-4)
    run_page.keyboard.press("ArrowLeft")
    assert (panel.get_by_role("slider").get_attribute("aria-valuetext") or "").startswith("epoch 2, ")

    whole = read_canvas(panel)
    run_page.keyboard.press("+")
    wait_for_change(panel, whole)
    run_page.keyboard.press("Escape")
    wait_for(panel, whole)
    series = panel.get_by_role("button", name="val/loss")
    series.press("Enter")
    expect(series).to_have_attribute("aria-pressed", "false")
    wait_for_change(panel, whole)
    series.press("Enter")
    wait_for(panel, whole)
    panel.get_by_role("button", name="Log scale").press("Enter")
    wait_for_change(panel, whole)
    panel.locator("summary").press("Enter")
    cells = panel.locator("tbody tr").last.locator("th, td")
    expect(cells.first).to_have_text("3")  # the browser reports later that the table is open, and then it is filled
    assert float(cells.nth(1).inner_text()) == pytest.approx(rows[-1]["train/loss"], abs=1e-4)


def wait_for(panel: Locator, drawn: str, *, same: bool = True) -> None:
    """Wait until a chart is drawn, as uPlot draws in the next frame."""
    until = time.monotonic() + 10
    while (read_canvas(panel) == drawn) != same:
        assert time.monotonic() < until
        time.sleep(0.02)


def wait_for_change(panel: Locator, drawn: str) -> None:
    wait_for(panel, drawn, same=False)


def test_a_chart_is_read_and_zoomed_by_pointer(run_page: Page) -> None:
    panel = run_page.locator(".panel").first
    plot = panel.locator(".u-over")
    panel.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    left, middle = box["x"], box["y"] + box["height"] / 2
    run_page.mouse.move(left + box["width"] * 0.66, middle)
    expect(panel.locator(".legend > span")).to_have_text("epoch 2")
    whole = read_canvas(panel)
    run_page.mouse.down()
    run_page.mouse.move(left + box["width"] * 0.9, middle, steps=3)
    run_page.mouse.up()
    wait_for_change(panel, whole)
    panel.get_by_role("button", name="Reset zoom").click()
    wait_for(panel, whole)


def test_the_gallery_filters_by_class_and_error(run_page: Page) -> None:
    tiles, count = run_page.locator(".tiles li:visible"), run_page.locator(".gallery-filter output")
    expect(count).to_have_text("8 of 8 images")
    run_page.get_by_label("True class").select_option("cat")
    expect(tiles).to_have_count(4)
    run_page.get_by_label("Prediction").select_option("wrong")
    wrong = [text for text in tiles.all_inner_texts() if "true cat" in text]
    expect(tiles).to_have_count(len(wrong))
    expect(count).to_have_text(f"{len(wrong)} of 8 images")


def test_parallel_coordinates_are_brushed_by_pointer_and_by_fields(browser: Browser, pages: dict[str, Path]) -> None:
    with open_page(browser) as seen:
        page = seen.page
        page.goto(f"file://{pages['sweep']}")
        figure = page.locator("figure.parallel")
        count, rows = figure.locator("output"), figure.locator("tbody tr")
        expect(count).to_have_text("12 of 12 selected")
        figure.get_by_label("optimizer.lr max").fill("0.15")
        page.keyboard.press("Enter")
        expect(count).to_have_text("4 of 12 selected")
        assert rows.locator("th").all_inner_texts() == [f"trial {number}" for number in range(4)]
        figure.get_by_label("activation is").select_option("elu")
        assert rows.locator("th").all_inner_texts() == ["trial 1", "trial 3"]
        figure.get_by_role("button", name="Clear selection").click()
        expect(count).to_have_text("12 of 12 selected")

        figure.scroll_into_view_if_needed()
        box = figure.locator(".handle").first.bounding_box()  # the axis of optimizer.lr
        assert box is not None
        x, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"] - 2
        page.mouse.move(x, bottom)
        page.mouse.down()
        page.mouse.move(x, bottom - box["height"] / 2, steps=4)
        page.mouse.up()
        expect(count).to_have_text("5 of 12 selected")  # up to 0.24, the middle of a logarithmic axis
        assert 0.2 < float(figure.get_by_label("optimizer.lr max").input_value()) < 0.3
        assert seen.errors == []
