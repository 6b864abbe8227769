"""Answer the lecture's three closing questions by cross-validation on the cats, and record the figures.

    python docs/answer_questions.py [--table | --races [QUESTION …]]

Takes about forty minutes on two cores, of which thirty go to the races that prove the answers: --races runs them alone,
and --table only makes the tables anew. Each configuration is trained on folds of the 208 training images that are not
among the 50, which are not looked at. Writes tutorial/questions.json, tutorial/races.json and the tables of
tutorial/questions.md; tutorial_figures.py draws the plot. The data must lie in ./data or COPYCAT_DATA.
"""

import argparse
import json
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from statistics import fmean
from typing import Any

import copycat

DOCS = Path(__file__).parent
ANSWERS, RACES, PAGE = (DOCS / "tutorial" / name for name in ("questions.json", "races.json", "questions.md"))
EXPERIMENTS = DOCS.parent / "experiments"
FOLDS = "data.fold=range(5)"
FULL_BATCH = ("optimizer=adam", "optimizer.lr=1e-4", "trainer.max_epochs=200", "hydra/launcher=packed")
COMMON = ("data=cats", "callbacks=none", "logger=none", "trainer.check_val_every_n_epoch=20")
CNN = ("model=cnn", "optimizer=adam", "data.batch_size=32", "data.shuffle=true", "trainer.max_epochs=40")
SWEEPS: Mapping[str, tuple[str, ...]] = {
    "architecture": (FOLDS, "model=logistic,shallow,deep", "activation=sigmoid,relu", *FULL_BATCH),
    "augmentation": (FOLDS, "augmentation=none,light", *CNN),
    "half of the images": ("data.folds=2", "data.fold=range(2)", "augmentation=none,light", *CNN),
    "hyper-parameters": (
        FOLDS,
        "model=shallow",
        "activation=relu",
        "optimizer=sgd,adam",
        "optimizer.lr=1e-2,1e-3,1e-4,1e-5",
        "trainer.max_epochs=200",
        "hydra/launcher=packed",
    ),
}
"""Overrides of the sweep that answers each question."""
PROVE = ("sweep.objective=val/balanced_accuracy", "sweep.prove=true", "hydra/launcher=processes", "trainer.threads=1")
RACED: Mapping[str, tuple[str, ...]] = {
    "architecture": ("model=logistic,shallow,deep,cnn", *CNN[1:], "activation=relu"),
    "augmentation": ("augmentation=none,light", *CNN),
    "hyper-parameters": ("optimizer.lr=1e-4,3e-4,1e-3,3e-3", *CNN),
}
"""Overrides of the sweep whose race answers each question."""
KEYS = ("model", "activation", "augmentation", "optimizer", "optimizer.lr")
TABLE, RACE_TABLE = (
    re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL) for name in ("table", "races")
)
METRICS = ("accuracy", "balanced_accuracy", "auroc")


def summarize(sweep: copycat.Sweep) -> Iterator[dict[str, Any]]:
    """Yield the mean over folds of the final weights' validation metrics, for each configuration of a sweep."""
    folds: dict[tuple[tuple[str, Any], ...], list[copycat.Run]] = defaultdict(list)
    trials = sweep.trials
    keys = [key for key in KEYS if key in trials.columns]
    for row in trials:
        folds[tuple((key, row[key]) for key in keys)].append(sweep[row["trial"]])
    for values, runs in folds.items():
        means = {metric: round(fmean(run.final[f"val/{metric}"] for run in runs), 4) for metric in METRICS}
        yield {**dict(values), "folds": len(runs), **means}


def read_answers() -> list[dict[str, Any]]:
    """Return the recorded results in the order of the page: question, configuration, and means over folds."""
    rows = [
        {"question": question, "configuration": name, **result}
        for question, answer in json.loads(ANSWERS.read_text()).items()
        # the activation of a logistic regression is not used: both values are one configuration
        for name, result in sorted({describe(question, result): result for result in answer["results"]}.items())
    ]
    for experiment in ("cnn_augmented", "transfer"):
        each = json.loads((EXPERIMENTS / f"{experiment}.folds.json").read_text())["each"]["all folds"]
        means = {metric: each[metric]["mean"] for metric in METRICS if metric in each}
        rows.append({"question": "recorded", "configuration": f"experiment={experiment}", **means})
    return rows


def describe(question: str, result: Mapping[str, Any]) -> str:
    """Return what tells a result from the others of its question."""
    if question == "architecture":
        return f"{result['model']}, {result['activation']}" if result["model"] != "logistic" else "logistic"
    if question == "hyper-parameters":
        return f"shallow, relu, {result['optimizer']}, lr {result['optimizer.lr']:.0e}"
    half = ", half of the images" if question == "half of the images" else ""
    return f"cnn, augmentation {result['augmentation']}{half}"


def make_table() -> str:
    """Return the table of questions.md."""
    head = ["| question | configuration | accuracy | balanced accuracy |", "| --- | --- | --- | --- |"]
    rows = [
        f"| {row['question']} | {row['configuration']} | {row['accuracy']:.3f} | {row['balanced_accuracy']:.3f} |"
        for row in read_answers()
    ]
    return "\n".join([*head, *rows]) + "\n"


def make_race_table() -> str:
    """Return the table of races in questions.md."""
    head = ["| question | what the race says |", "| --- | --- |"]
    rows = [
        f"| {question} | {'. '.join(race['sentences'])} |" for question, race in json.loads(RACES.read_text()).items()
    ]
    return "\n".join([*head, *rows]) + "\n"


def race(questions: Iterable[str]) -> None:
    """Race the configurations of questions, and record the overrides and what each race says."""
    for question in questions:
        words = RACED[question]
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            sentences = list(copycat.sweep([*COMMON, *words, *PROVE]).race())
        print(question, *sentences, sep="\n", flush=True)
        races = json.loads(RACES.read_text()) if RACES.exists() else {}
        races[question] = {"overrides": " ".join(words), "sentences": sentences}
        RACES.write_text(json.dumps({name: races[name] for name in RACED if name in races}, indent=2) + "\n")


def answer() -> dict[str, Any]:
    """Run the sweeps, and return their overrides and results by question."""
    answers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for question, words in SWEEPS.items():
            results = list(summarize(copycat.sweep([*COMMON, *words])))
            answers[question] = {"overrides": " ".join(words), "results": results}
    return answers


def main() -> None:
    """Answer the questions, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--table", action="store_true", help="only make the tables anew")
    only.add_argument(
        "--races", nargs="*", choices=RACED, metavar="QUESTION", help="only run the races, and make the tables anew"
    )
    options = parser.parse_args()
    if "COPYCAT_DATA" in os.environ:
        os.environ["COPYCAT_DATA"] = str(Path(os.environ["COPYCAT_DATA"]).absolute())
    if not options.table and options.races is None:
        ANSWERS.write_text(json.dumps(answer(), indent=2) + "\n")
    if not options.table:
        race(options.races or RACED)
    page = TABLE.sub(lambda _: make_table(), PAGE.read_text())
    PAGE.write_text(RACE_TABLE.sub(lambda _: make_race_table(), page))


if __name__ == "__main__":
    main()
