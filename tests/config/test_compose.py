"""From words to one resolved configuration, or one line."""

import string
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.sweep_composition import compose_sweep

GOOD = [
    "optimizer=adam",
    "optimizer.lr=0.1",
    "model=deep",
    "model.hidden=[20,7,5]",
    "activation=relu",
    "loss=cross_entropy",
    "data=folder",
    "data.root=/somewhere",
    "trainer.max_epochs=3",
    "callbacks=early_stopping",
    "seed=0",
    "experiment=lecture",
    "+optimizer.maximize=true",
    "~optimizer.momentum",
    "data.fold=1",
]


def test_the_default_is_logistic_regression_by_sgd_on_drawn_images() -> None:
    config = compose().config
    assert config["model"]["_target_"] == "copycat.models.networks.mlp"
    assert config["model"]["hidden"] == []
    assert config["optimizer"]["_target_"] == "torch.optim.SGD"
    assert config["data"]["_target_"] == "copycat.data.synthetic.dataset.Drawn"


def test_seed_0_is_a_seed() -> None:
    assert compose(["seed=0"]).config["seed"] == 0


def test_an_override_wins_over_its_group_wherever_it_stands() -> None:
    assert compose(["optimizer.lr=0.5", "optimizer=adam"]).config["optimizer"]["lr"] == 0.5


def test_what_comes_before_images_are_mixed_is_an_option_of_its_own() -> None:
    assert compose(["augmentation=mixup"]).config["augmentation"]["base"]["shift"] == 4
    strong = compose(["augmentation=cutmix", "augmentation/base=strong", "augmentation.base.rotate=20"]).config
    assert strong["augmentation"]["base"] == {**compose(["augmentation=strong"]).config["augmentation"], "rotate": 20}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["augmentation/base=strong"], r"augmentation/base: no such key; .* Did you mean augmentation=strong\?"),
        (["augmentation=mixup", "augmentation/base=strng"], r"Did you mean augmentation/base=strong\?"),
        (
            ["augmentation=mixup", "augmentation.base.flip=2"],
            r"augmentation\.base\.flip: expected a number from 0 to 1",
        ),
        (
            ["augmentation=mixup", "augmentation/base=strong", "augmentation.base.rotat=2"],
            r"Did you mean augmentation\.base\.rotate=2\?",
        ),
    ],
)
def test_a_mistake_in_it_is_one_clear_line(words: list[str], line: str) -> None:
    with pytest.raises(UserError, match=line):
        compose(words)


def test_the_whole_tree_is_plain_containers() -> None:
    def plain(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(inner) for key, inner in value.items())
        if isinstance(value, list):
            return all(plain(inner) for inner in value)
        return type(value) in (int, float, str, bool, type(None))

    assert plain(compose(["model=deep"]).config)


@pytest.mark.parametrize(
    ("words", "experiment"),
    [
        ([], "default"),
        (["experiment=lecture"], "lecture"),
        (["experiment=[lecture,shallow]"], "lecture+shallow"),
    ],
)
def test_a_run_is_filed_under_its_experiment(words: list[str], experiment: str) -> None:
    assert compose(words).experiment == experiment


@pytest.mark.parametrize("path", ["/home/me/Kätzchen", "/home/me/my cats", "/home/me/#1; cats & dogs!", "C:/猫"])
def test_a_path_needs_no_quotes_within_quotes(path: str) -> None:
    config = compose(["data=folder", f"data.root={path}"]).config
    assert config["data"]["root"] == path


def test_names_in_a_list_need_no_quotes_within_quotes() -> None:
    config = compose(
        ["data=csv", "data.file=a.csv", "data.classes=[Kätzchen, 猫,no cat,'1, 2',\"é\"]"], check_data=False
    ).config
    assert config["data"]["classes"] == ["Kätzchen", "猫", "no cat", "1, 2", "é"]


def test_composing_needs_no_torch() -> None:
    code = (
        "import sys; from copycat.config.compose import compose; compose(['model=deep']); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_several_threads_compose_at_once() -> None:
    with ThreadPoolExecutor(4) as threads:
        composed = list(threads.map(lambda seed: compose([f"seed={seed}"]).config["seed"], range(8)))
    assert composed == list(range(8))


def test_every_value_of_a_sweep_is_checked_not_only_the_first() -> None:
    compose_sweep(["optimizer=adam,sgd", "optimizer.lr=range(0.1,0.4,0.1)", "seed=1"])
    with pytest.raises(UserError, match="seed: expected a whole number"):
        compose_sweep(["optimizer=adam,sgd", "seed=1,2,-3"])
    with pytest.raises(UserError, match=r"optimizer\.amsgrad: no such key"):
        compose_sweep(["optimizer=adam,sgd", "optimizer.amsgrad=true,false"])


def test_a_broken_file_of_ones_own_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "conf" / "optimizer" / "broken.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("_target_: torch.optim.SGD\nlr: [0.1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"broken\.yaml, line 3: expected YAML"):
        compose(["optimizer=broken"])


@pytest.mark.parametrize("group", ["trainer", "optimizer", "data"])
def test_an_option_of_ones_own_without_a_target_is_told_so(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "conf" / group / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("a: 5\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=rf"^{group}: expected an option with a _target_; got none. Type {group}=OPTION"
    ):
        compose([f"{group}=mine"])


@pytest.mark.parametrize("record", ["run.json", "trial.json", "sweep.json"])
def test_no_options_are_taken_from_inside_a_run_folder(
    record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    option = tmp_path / "conf" / "model" / "shallow.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("_target_: torch.nn.Identity\n")
    monkeypatch.chdir(tmp_path)
    assert compose(["model=shallow"]).config["model"] == {"_target_": "torch.nn.Identity"}
    (tmp_path / record).touch()
    assert compose(["model=shallow"]).config["model"]["_target_"].startswith("copycat.")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sead: 3\n", "sead: no such key; .* Did you mean seed?"),
        ("defaults:\n  - override /optimizer: adma\n", "adma"),
        ("defaults:\n  - overide /optimizer: adam\n", "use 'override optimizer: adam'"),
        ("optimizer:\n  lr: ${nope}\n", "optimizer.lr: .*nope"),
        (
            "optimizer:\n  lr: ${oc.env:COPYCAT_NO_RATE,0.5}\n",
            r"got '0\.5'\. This is a text.*\${oc.decode:",
        ),
        ("defaults:\n  - own\n", "options that compose; got one whose defaults lead back to itself"),
        ("trainer:\n  max_epochs: many\n", "trainer.max_epochs: expected a whole number ≥ 1; got 'many'"),
        ("[1, 2]\n", "."),
        ("\t- x: {\n", "expected YAML"),
    ],
)
def test_a_mistake_in_an_experiment_of_ones_own_is_one_line(
    text: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "experiments" / "own.yaml"
    own.parent.mkdir()
    own.write_text("# @package _global_\n" + text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=line) as caught:
        compose(["experiment=own"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("head", ["", "# own\n# @package _global_\n"])
@pytest.mark.parametrize("text", ["seed: 3\n", "defaults:\n  - override /model: cnn\n"])
def test_an_experiment_without_its_package_line_at_the_top_is_told_so(
    head: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "experiments" / "own.yaml"
    own.parent.mkdir()
    own.write_text(head + text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^experiment: expected '# @package _global_' as the first line "):
        compose(["experiment=own"])


def _mutations(word: str) -> st.SearchStrategy[str]:
    letters = st.sampled_from(string.ascii_letters + string.digits + "=.,[](){}'\"$~+@/\\:-_ é\n\t!?*#%")
    place = st.integers(0, len(word))
    insert = st.builds(lambda at, letter: word[:at] + letter + word[at:], place, letters)
    delete = st.builds(lambda a, b: word[: min(a, b)] + word[max(a, b) :], place, place)
    replace = st.builds(lambda at, letter: word[:at] + letter + word[at + 1 :], place, letters)
    value = st.builds(lambda end: word.partition("=")[0] + "=" + end, st.text(letters, max_size=6))
    return st.one_of(st.just(word), insert, delete, replace, value)


@pytest.mark.slow
@settings(max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(GOOD).flatmap(_mutations), min_size=1, max_size=3))
@example(["=", "~"])
@example(["optimizer=[adam,sgd]"])
@example(["~seed"])
@example(["optimize.=adam"])
@example(["é=ü"])
@example(["model={}"])
@example(["experiment=null"])
@example(["~optimizer=5"])
@example(["++model=deep"])
@example(["optimizer._target_=5"])
def test_no_words_give_anything_but_a_request_or_one_line(words: list[str]) -> None:
    line = "none"
    try:
        compose(words)
    except UserError as error:
        line = str(error)
    assert line
    assert "\n" not in line
    assert "Traceback" not in line
