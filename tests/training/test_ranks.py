"""A run on two ranks against the same run in one process: metrics, bits of repeats, and resumes."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from PIL import Image

from copycat.records.checkpoint_file import damage
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from copycat.training.train import train
from tests.support.parameters import mark_slow
from tests.support.ranks import ONE, TWO, largest_difference, rows_of, train_on
from tests.support.runs import compose_quickly, train_tiny
from tests.support.tensorboard import load_events

CNN = ("model=cnn", "model.dropout=0.0")
EXACT = ("trainer.precision=64-true", "trainer.max_epochs=3", "callbacks=none", "logger=none")


@pytest.mark.parametrize(
    "words",
    [
        ("model=logistic", "loss=bce"),
        ("model=logistic", "loss=bce", "loss.reduction=sum", "optimizer.lr=1e-4"),
        ("model=logistic", "loss=bce_with_logits", "loss._target_=tests.support.ranks.WeighedByLabel"),
        ("model=deep", "loss=cross_entropy", "loss.class_weights=[1.0,3.0]"),
        ("model=deep", "loss=focal", "loss.class_weights=balanced", "optimizer=adam", "metrics=[full,per_class]"),
        ("model=shallow", "optimizer=lbfgs", "optimizer.max_iter=2"),
        (*CNN, "loss=bce_with_logits", "loss.class_weights=balanced", "augmentation=light"),
        (*CNN, "loss=cross_entropy", "augmentation=mixup", "loss.label_smoothing=0.1"),
        ("model=logistic", "data.sampler=balanced", "trainer.accumulate_grad_batches=2", "scheduler=plateau"),
    ],
    ids=lambda words: " ".join(words[:4]),
)
def test_every_metric_of_two_ranks_is_that_of_one_process(words: tuple[str, ...], uneven: Path, tmp_path: Path) -> None:
    one, two = (train_on(ranks, *EXACT, "data.batch_size=4", *words, data=uneven, at=tmp_path) for ranks in (1, 2))
    assert len(rows_of(one)) == 4
    assert largest_difference(one, two) <= 1e-9
    assert one.manifest["results"]["steps"] == two.manifest["results"]["steps"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of 18 images of 8×8 pixels: one of three classes of each, and whether it has each of two."""
    root, draw = tmp_path_factory.mktemp("table"), np.random.default_rng(0)
    rows = []
    for index in range(18):
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(root / f"{index}.png")
        rows.append(f"{index}.png,{'abc'[index % 3]},{index // 3 % 2},{index // 6 % 2}\n")
    (root / "images.csv").write_text("file,label,striped,dotted\n" + "".join(rows))
    return root / "images.csv"


@pytest.mark.parametrize(
    "words",
    [("model=deep", "loss=cross_entropy"), (*CNN, "data.label_columns=[striped,dotted]")],
    ids=["three classes", "several classes an image"],
)
def test_counts_of_two_ranks_give_the_scores_of_one_process(
    words: tuple[str, ...], table: Path, tmp_path: Path
) -> None:
    common = (*EXACT, "data=csv", f"data.file={table}", "data.image_size=8", "data.batch_size=5", "optimizer.lr=0.1")
    results = []
    for own in (ONE, TWO):
        results.append(train(compose_quickly([*own, *common, *words, f"output_dir={tmp_path / str(len(own))}"])))
        assert results[-1].status == "completed", results[-1].manifest["error"]
    assert {"val/f1", "val/auroc"} <= rows_of(results[0])[-1].keys()
    assert largest_difference(*results) <= 1e-9


def test_two_repeats_on_two_ranks_have_the_same_bits(uneven: Path, tmp_path: Path) -> None:
    words = (
        *CNN,
        "model.dropout=0.5",
        "data.batch_size=4",
        "trainer.max_epochs=2",
        "augmentation=light",
        "logger=none",
    )
    results = [train_on(2, *words, data=uneven, at=tmp_path / str(time)).manifest["results"] for time in range(2)]
    for name in ("history_digest", "weights_digest", "predictions_digest"):
        assert results[0][name] == results[1][name]


def test_a_run_folder_is_written_by_the_first_rank_alone(uneven: Path, tmp_path: Path) -> None:
    run = train_on(2, "data.batch_size=4", "trainer.max_epochs=2", data=uneven, at=tmp_path)
    assert [path.name for path in (tmp_path / "ranks2").rglob("run.json")] == ["run.json"]
    assert (run.folder / "train.1.log").read_text() != ""
    assert run.manifest["provenance"]["environment"]["ranks"] == {"world_size": 2, "backend": "gloo"}
    assert damage(run.folder / "checkpoints" / "last.ckpt") is None
    assert open_run(run.folder).config["trainer"]["devices"] == 2


@pytest.mark.parametrize(("began", "goes_on"), [(2, 2), (2, 1), (1, 2)], ids=["2 to 2", "2 to 1", "1 to 2"])
def test_a_run_resumes_inside_an_epoch_on_another_number_of_ranks(
    began: int, goes_on: int, uneven: Path, tmp_path: Path
) -> None:
    words = (
        *(*CNN, "trainer.precision=64-true", "data.batch_size=4", "trainer.max_epochs=3", "logger=none"),
        *("callbacks.last.every_n_steps=1", "trainer.steps_per_execution=1"),
    )
    whole = train_on(began, *words, data=uneven, at=tmp_path)
    stopped = train_tiny(
        *(TWO if began == 2 else ("trainer.accelerator=cpu", "trainer.threads=1")),
        *words,
        "+callbacks.stop._target_=tests.support.ranks.InterruptInside",
        data=uneven,
        at=tmp_path,
    )
    assert stopped.status == "interrupted"
    resumed = resume(open_run(stopped.folder), notify=lambda _: None, devices=goes_on)
    assert resumed.status == "completed"
    assert resumed.manifest["resumed"][0]["epoch"] == 1
    assert resumed.manifest["resumed"][0]["batch"] > 0
    assert largest_difference(whole, resumed) <= (0.0 if began == goes_on else 1e-9)


@pytest.mark.parametrize("model", mark_slow(["deep", "cnn"], fast=["deep"]))
def test_weights_that_are_spread_and_their_average_give_the_numbers_of_one_process(
    model: str, uneven: Path, tmp_path: Path
) -> None:
    words = (
        *(f"model={model}", "optimizer=adam", "trainer.precision=64-true", "trainer.max_epochs=3"),
        *("data.batch_size=4", "trainer.gradient_clip_val=0.5", *(["model.dropout=0.0"] * (model == "cnn"))),
        *("callbacks=[default,ema,histograms,activations]", "callbacks.ema.decay=0.7"),
    )
    one = train_on(1, *words, data=uneven, at=tmp_path)
    spread = train_tiny("trainer=fsdp", *TWO[1:], *words, data=uneven, at=tmp_path / "fsdp")
    assert spread.status == "completed", spread.manifest["error"]
    assert largest_difference(one, spread) <= 1e-9
    alone, ranks = (load_events(run.folder / "tensorboard") for run in (one, spread))
    assert {"weight_norm/layers.0.weight", "sensitive/layers.1"} <= set(alone.Tags()["scalars"]) or model == "cnn"
    for tag in alone.Tags()["scalars"]:
        expected, found = ([event.value for event in each.Scalars(tag)] for each in (alone, ranks))
        assert tag.startswith("time/") or found == pytest.approx(expected, rel=1e-6, abs=1e-7), tag
    assert ranks.Tags()["histograms"] == alone.Tags()["histograms"] != []
    for tag in alone.Tags()["histograms"]:
        expected, found = ([e.histogram_value.sum_squares for e in each.Histograms(tag)] for each in (alone, ranks))
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9), tag
    longer = train_tiny(*ONE, *words, "trainer.max_epochs=5", data=uneven, at=tmp_path / "longer")
    for devices in (1, 2):
        copy = copytree(spread.folder, tmp_path / f"on{devices}")
        resumed = resume(open_run(copy), notify=lambda _: None, more={"trainer.max_epochs": 5}, devices=devices)
        assert resumed.status == "completed", resumed.manifest["error"]
        assert largest_difference(longer, resumed) <= 1e-9


def test_the_first_rank_alone_writes_a_profile(uneven: Path, tmp_path: Path) -> None:
    profiler = ("callbacks.profiler._target_=tests.support.ranks.ProfilerOfLastRank", "callbacks.profiler.first=0")
    words = ("callbacks=[default,profiler]", *profiler, "data.batch_size=4", "trainer.max_epochs=2")
    assert not (train_on(2, *words, data=uneven, at=tmp_path).folder / "profile").exists()


@pytest.mark.parametrize(("words", "epochs"), [(("model=logistic",), 40), (CNN, 4)], ids=["logistic", "cnn, 20 steps"])
def test_in_float32_two_ranks_differ_by_rounding_alone(
    words: tuple[str, ...], epochs: int, uneven: Path, tmp_path: Path
) -> None:
    words = (*words, "data.batch_size=4", f"trainer.max_epochs={epochs}", "callbacks=none", "logger=none")
    one, two = (train_on(ranks, *words, data=uneven, at=tmp_path) for ranks in (1, 2))
    assert largest_difference(one, two) <= 1e-6


def test_ranks_end_together_at_a_time_limit_and_go_on(uneven: Path, tmp_path: Path) -> None:
    words = ("data.batch_size=4", "trainer.max_epochs=100000", "trainer.max_time=1s", "logger=none")
    ended = train_on(2, *words, data=uneven, at=tmp_path)
    epochs = ended.manifest["results"]["epochs"]
    assert ended.manifest["results"]["ended_early"]["by"] == "trainer.max_time"
    longer = resume(open_run(ended.folder), notify=lambda _: None, more={"trainer.max_time": "3s"})
    assert longer.status == "completed"
    assert longer.manifest["results"]["epochs"] > epochs


def test_a_run_that_diverges_says_so_once_and_names_no_rank(uneven: Path, tmp_path: Path) -> None:
    words = (*TWO, *CNN, "data.batch_size=4", "optimizer.lr=1e30", "trainer.max_epochs=3", "logger=none")
    failed = train_tiny(*words, data=uneven, at=tmp_path)
    assert failed.status == "failed"
    assert "rank" not in failed.manifest["error"]
    assert "of epoch" in failed.manifest["error"] or "not finite" in failed.manifest["error"]


def test_images_that_are_decoded_by_workers_are_those_of_one_process(uneven: Path, tmp_path: Path) -> None:
    words = (*EXACT, "model=deep", "data.memory_mb=0", "data.batch_size=4", "augmentation=light")
    one = train_on(1, *words, "data.workers=0", data=uneven, at=tmp_path)
    two = train_on(2, *words, "data.workers=2", data=uneven, at=tmp_path)
    assert largest_difference(one, two) <= 1e-9


def test_predictions_are_gathered_some_batches_at_a_time(
    uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*EXACT, "model=logistic", "loss=cross_entropy", "data.batch_size=4", "trainer.max_epochs=2")
    together = train_on(2, *words, data=uneven, at=tmp_path / "together")
    monkeypatch.setattr("copycat.models.prediction_buffer.MAX_BYTES", 100)  # of which forked ranks learn
    apart = train_on(2, *words, data=uneven, at=tmp_path / "apart")
    assert rows_of(apart) == rows_of(together)
    assert apart.manifest["results"]["predictions_digest"] == together.manifest["results"]["predictions_digest"]
