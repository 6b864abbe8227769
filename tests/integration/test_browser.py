"""TensorBoard as a reader meets it, in a real browser."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from tests.support.browser import open_page
from tests.support.commands import run_copycat
from tests.support.sweeps import read_trial_files
from tests.support.tensorboard import read_hparams

pytestmark = pytest.mark.browser

PATIENCE = 30_000
"""Milliseconds."""
SWEEP = (
    *("model=shallow", "model.hidden=[5]", "loss=mse", "trainer.max_epochs=8", "trainer.threads=1", "callbacks=full"),
    *("hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=6"),
    *("hydra/sweeper/pruner=percentile", "hydra.sweeper.pruner.percentile=75"),
    *("hydra.sweeper.pruner.n_startup_trials=3", "hydra.sweeper.pruner.n_warmup_steps=2"),
    "optimizer.lr=choice(0.02,0.03,0.05,0.04,1e-9,1e25)",
)
DONE = {"completed": "STATUS_SUCCESS", "pruned": "STATUS_UNKNOWN", "failed": "STATUS_FAILURE"}


@pytest.fixture(scope="module")
def sweep(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six trials, one failed and one pruned."""
    at = tmp_path_factory.mktemp("sweep")
    done = run_copycat(
        *("train", "-m", "data=folder", f"data.root={tiny}", "data.image_size=8", *SWEEP, "sweep.folder=sweep"), at=at
    )
    assert done.returncode == 1, done.stderr  # as one of them failed
    statuses = sorted(trial["status"] for trial in read_trial_files(at / "sweep").values())
    assert statuses == ["completed"] * 4 + ["failed", "pruned"]
    return at / "sweep"


@pytest.fixture(scope="module")
def address(sweep: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "copycat", "board", "--no-browser", str(sweep)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as board:
        try:
            assert board.stdout is not None
            yield board.stdout.readline().split()[0]
        finally:
            board.send_signal(signal.SIGINT)
            board.wait(60)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with open_page(browser) as seen:
        seen.page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield seen.page
        assert seen.errors == []


def test_training_and_validation_loss_share_a_chart(page: Page, address: str, sweep: Path) -> None:
    page.goto(f"{address}#timeseries")
    page.locator("metrics-tag-filter-component input").fill("^loss$")
    card = page.locator("metrics-filtered-view card-view")
    expect(card).to_have_count(1)
    chart = card.locator("line-chart").first
    chart.hover()
    best = min(
        (t for t in read_trial_files(sweep).values() if t["objectives"]), key=lambda t: t["objectives"]["val/loss"]
    )
    rows = page.locator(".tooltip-row")
    expect(rows.first).to_be_visible()
    names = rows.locator(".name").all_inner_texts()
    for part in ("train", "val"):
        assert f"{best['number']} lr={best['values']['optimizer.lr']}/{part}" in names


def test_hparams_lists_each_trial_once_with_its_true_metrics(page: Page, address: str, sweep: Path) -> None:
    page.goto(f"{address}#hparams")
    table = page.locator("tf-hparams-table-view")
    for number, trial in read_trial_files(sweep).items():
        name = f"{number} lr={trial['values']['optimizer.lr']}"
        expect(table.get_by_text(name, exact=True)).to_have_count(1)
        (found,) = [group for group in read_hparams(address) if group["name"] == name]
        assert found["status"] == DONE[trial["status"]]
        assert found["hparams"]["optimizer.lr"] == trial["values"]["optimizer.lr"]
        assert -1 not in found["metrics"].values()
        came_out = read_manifest(sweep / str(number))["results"]
        for kind, values in (("final", came_out.get("final", {})), ("best", came_out["best"].get("metrics", {}))):
            for metric, value in values.items():
                assert found["metrics"][f"{kind}/{metric}"] == pytest.approx(value, rel=1e-6)
        last: dict[str, float] = {}
        for row in read_history(sweep / str(number)):
            last |= row
        for metric in last.keys() - {"epoch"}:
            assert found["metrics"][metric] == pytest.approx(last[metric], rel=1e-6)


TABS = {
    "images": ("tf-image-dashboard", "data/model_input"),
    "pr_curves": ("tf-pr-curve-dashboard", "precision_recall/dog"),
    "histograms": ("tf-histogram-dashboard", "activations/layers.0"),
    "distributions": ("tf-distribution-dashboard", "activations/layers.0"),
    "text": ("tf-text-dashboard", "run/command"),
    "graphs": ("tf-graph-dashboard", "MLP"),
}
"""The element of each, and a text in it."""


def test_each_other_tab_loads(page: Page, address: str) -> None:
    for tab, (element, text) in TABS.items():
        page.goto(f"{address}#{tab}")
        expect(page.locator(element).get_by_text(text).first).to_be_attached()
        if tab == "images":
            images = page.locator("tf-image-loader img")
            expect(images.first).to_be_visible()
            assert all(image.evaluate("image => image.naturalWidth") > 0 for image in images.all()[:6])


def test_the_projector_holds_each_validation_image(page: Page, address: str) -> None:
    page.goto(f"{address}#projector")
    projector = page.frame_locator("iframe").frame_locator("iframe")
    expect(projector.locator(".numDataPoints")).to_have_text("8")
    expect(projector.locator(".dim")).to_have_text("5")  # units of the hidden layer
