"""Run the named experiments on their data and record their results.

    python experiments/record.py [--folds] [NAME …]

Writes NAME.json beside each NAME.yaml, with which a test compares later runs, and the table in README.md. With --folds
it writes NAME.folds.json instead: the results of five folds and five seeds. Without names it writes the table alone,
from what is recorded. A file with a source, as lecture.json, holds a published table, and is compared, never written.
"""

import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import folds

from copycat.config.compose import compose
from copycat.records.metrics_csv import read_history
from copycat.training.summary import is_round
from copycat.training.train import RunResult, train

HERE = Path(__file__).parent
SHOWN = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "val/auroc")


def run(name: str, at: Path) -> RunResult:
    """Run an experiment as it stands, in a folder below `at`."""
    return train(compose([f"experiment={name}", f"output_dir={at}"]))


def results(outcome: RunResult) -> dict[str, Any]:
    """Return what a run must reproduce, as text with the digits that are compared."""
    rows = read_history(outcome.folder)
    chosen = [row for row in rows if is_round(int(row["epoch"])) or row is rows[-1]]
    manifest = outcome.manifest
    environment = manifest["provenance"]["environment"]
    cpu = f"{environment['cpu']}, {environment['threads']} threads, torch {environment['packages']['torch']}"
    return {
        "losses": _text(chosen, "train/loss"),
        **({"loss_means": _text(chosen, "train/loss_mean")} if "train/loss_mean" in rows[0] else {}),
        "final": {name: f"{value:.4f}" for name, value in manifest["results"]["final"].items()},
        "best": {
            "epoch": manifest["results"]["best"]["epoch"],
            "val/accuracy": f"{outcome.best['val/accuracy']:.4f}",
        },
        "epochs": len(rows),
        "seconds": round(manifest["seconds"]),
        "machine": cpu,
    }


def _measured_file(name: str) -> Path:
    """Return the file of an experiment's own results, which stands beside a published table where there is one."""
    file = HERE / f"{name}.json"
    published = file.exists() and "source" in json.loads(file.read_text())
    return HERE / f"{name}.measured.json" if published else file


def _text(rows: Sequence[Mapping[str, float]], metric: str) -> dict[str, str]:
    return {str(int(row["epoch"])): f"{row[metric]:.6f}" for row in rows}


def table() -> str:
    """Return the recorded results as Markdown tables: of single runs, and of folds and seeds."""
    head = ["experiment", "what it shows", "epochs", *SHOWN, "best val/accuracy (epoch)", "seconds"]
    rows, of_folds = [head], [["experiment", *folds.TITLES]]
    for file in sorted(HERE.glob("*.yaml")):
        record = _measured_file(file.stem)
        if not record.exists():
            continue
        found = json.loads(record.read_text())
        best = f"{found['best']['val/accuracy']} ({found['best']['epoch']})"
        metrics = [found["final"][name] for name in SHOWN]
        rows.append([file.stem, _read_description(file), str(found["epochs"]), *metrics, best, str(found["seconds"])])
        if (measured := file.with_name(f"{file.stem}.folds.json")).exists():
            of_folds.append([file.stem, *folds.cells(json.loads(measured.read_text()))])
    return f"{_format_table(rows)}\n\n{_format_table(of_folds)}"


def _format_table(rows: list[list[str]]) -> str:
    head, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *others])


def _read_description(file: Path) -> str:
    lines = file.read_text().splitlines()
    return next(line for line in lines if line.startswith("# ") and "@package" not in line).removeprefix("# ")


def write_table() -> None:
    """Put the table between the marks of README.md."""
    page = HERE / "README.md"
    text = re.sub(
        r"(<!-- table -->\n).*(<!-- end -->)", lambda m: m[1] + table() + "\n" + m[2], page.read_text(), flags=re.S
    )
    page.write_text(text)


def main() -> None:
    """Record the named experiments and write the table."""
    names = [word for word in sys.argv[1:] if word != "--folds"]
    for name in names if "--folds" in sys.argv else ():
        with tempfile.TemporaryDirectory() as folder:
            measured = folds.measure_experiment(name, Path(folder))
        (HERE / f"{name}.folds.json").write_text(json.dumps(measured, indent=2) + "\n")
        print(f"{name}: {measured['each']}")
    for name in names if "--folds" not in sys.argv else ():
        with tempfile.TemporaryDirectory() as folder:
            found = results(run(name, Path(folder)))
        _measured_file(name).write_text(json.dumps(found, indent=2) + "\n")
        print(f"{name}: {found['final']}")
    write_table()


if __name__ == "__main__":
    main()
