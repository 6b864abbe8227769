"""Rows of runs."""

from pathlib import Path

from copycat.tables.run_reader import read_record
from copycat.tables.run_row import ROW_VERSION, make_row
from tests.support.run_folders import change_manifest, write_run


def test_a_row_is_that_of_its_version(tmp_path: Path) -> None:
    """Rows are cached: who changes what this test expects raises ROW_VERSION, here and there."""
    folder = tmp_path / "run"
    data = {"images": {"val": 50}, "majority": {"val": 0.66}}
    words = ["model=deep", "+optimizer.lr=1e-3", "~callbacks", "model.hidden=[20,7]", "a=null", "epochs=7", "run=other"]
    write_run(folder, overrides=words, final={"val/accuracy": 0.8}, best={"val/loss": 0.25}, data=data)
    change_manifest(folder, lambda manifest: manifest["request"].update(copy_of={"folder": "first"}))
    row = make_row(read_record(folder), tmp_path)
    assert ROW_VERSION == 2
    low, high = row["accuracy_low"], row["accuracy_high"]
    assert (round(low, 4), round(high, 4)) == (0.6696, 0.8876)  # as statsmodels computes it
    assert [*row.items()] == [
        ("run", "run"),
        ("folder", str(folder)),
        ("experiment", "default"),
        ("copy_of", "first"),
        ("status", "completed"),
        ("error", None),
        ("started", "2026-11-24T00:00:00.000+00:00"),
        ("ended", None),
        ("seconds", 1.5),
        ("epochs", 3),
        ("parameters", None),
        ("synthetic", False),
        ("overrides", " ".join(words)),
        ("accuracy_low", low),
        ("accuracy_high", high),
        ("majority", 0.66),
        ("model", "deep"),
        ("optimizer.lr", 0.001),
        ("model.hidden", "[20,7]"),
        ("a", None),
        ("final/val/accuracy", 0.8),
        ("best/epoch", 1),
        ("best/val/loss", 0.25),
    ]


def test_a_run_on_images_of_several_classes_has_no_interval_of_its_accuracy_and_no_majority_baseline(
    tmp_path: Path,
) -> None:
    """Its accuracy is a share of pairs of an image and a class."""
    data = {"images": {"val": 50}, "majority": {"val": 0.66}, "multi_label": True}
    write_run(tmp_path / "run", final={"val/accuracy": 0.8}, data=data)
    assert not {"accuracy_low", "accuracy_high", "majority"} & make_row(read_record(tmp_path / "run"), tmp_path).keys()
