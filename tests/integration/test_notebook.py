"""The notebook of the lecture runs, with a progress bar, tables as HTML and plots inline."""

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "lecture.ipynb"


def read_notebook() -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The outputs of each cell by its source, after the whole notebook ran in a folder of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = read_notebook()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(name, str(folder / "jupyter"))
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def output_of(cells: dict[str, list[Any]], ending: str) -> dict[str, str]:
    """Return the last output of the cell whose source ends so, by media type."""
    (outputs,) = (outputs for source, outputs in cells.items() if source.endswith(ending))
    data: dict[str, str] = outputs[-1]["data"]
    return data


def test_nothing_is_written_to_standard_error(cells: dict[str, list[Any]]) -> None:
    printed = [output for outputs in cells.values() for output in outputs if output.output_type == "stream"]
    assert {output.name for output in printed} == {"stdout"}
    assert "train on them: copycat train" in "".join(output.text for output in printed)


def test_training_shows_a_progress_bar_that_ends_full(cells: dict[str, list[Any]]) -> None:
    (outputs,) = (outputs for source, outputs in cells.items() if source.endswith("seed=123)\nrun"))
    bar, _ = outputs
    assert bar.output_type == "display_data"
    assert "100/100" in bar.data["text/html"]
    (outputs,) = (outputs for source, outputs in cells.items() if source.endswith(")\nsweep"))
    assert "4 done, best val/loss" in outputs[0].data["text/html"]


def test_the_loop_by_hand_has_the_losses_of_the_run(cells: dict[str, list[Any]]) -> None:
    assert output_of(cells, "== losses")["text/plain"] == "True"
    assert output_of(cells, ".differences")["text/plain"] == "[]"


@pytest.mark.parametrize(
    ("ending", "shown"),
    [
        ("seed=123)\nrun", "<td>balanced_accuracy</td>"),
        (".tail()", "<th>train/accuracy</th>"),
        ("run.evaluate()", "<td>val</td>"),
        ("[:3])", "<th>probability/non-cat</th>"),
        (")\nsweep", "4 of 4 trials"),
    ],
)
def test_tables_are_html(cells: dict[str, list[Any]], ending: str, shown: str) -> None:
    html = output_of(cells, ending)["text/html"]
    assert "<table" in html
    assert shown in html


@pytest.mark.parametrize("ending", ["axis=1))", "run.plot()", "run.plot_confusion()", "sweep.plot()"])
def test_images_and_plots_are_inline(cells: dict[str, list[Any]], ending: str) -> None:
    assert output_of(cells, ending)["image/png"].startswith("iVBOR")


def test_it_is_committed_without_outputs() -> None:
    cells = read_notebook().cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")
