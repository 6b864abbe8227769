"""What `copycat serve` answers to programs, asked without a server."""

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from urllib3 import encode_multipart_formdata

from copycat.deploy import uploads
from copycat.deploy.app_runs import AppRuns
from copycat.deploy.app_server import make_application
from copycat.records.run_loader import open_run
from tests.support.app import Answer, ask, call_endpoint, make_bomb
from tests.support.commands import call_copycat
from tests.support.runs import QUIET, train_tiny

MAX_PIXELS = 50_000_000


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny("trainer.max_epochs=9", *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture
def served(folder: Path) -> Iterator[Starlette]:
    runs = AppRuns({"a run": open_run(folder)}, max_pixels=MAX_PIXELS)
    yield make_application(runs)
    runs.close()


@pytest.fixture
def images(tiny: Path) -> list[Path]:
    return sorted((tiny / "val").glob("*/*.png"))


def post_form(served: Starlette, files: Sequence[tuple[str, bytes]], **query: str) -> Answer:
    fields: list[Any] = [("image", (name, content)) for name, content in files]
    content, kind = encode_multipart_formdata(fields)
    return call_endpoint(served, "/predict", content=content, headers={"content-type": kind}, query=query)


def check_answer(served: Starlette, path: str, method: str, answer: Answer) -> None:
    """Require that an answer is as the description says."""
    _, _, description = call_endpoint(served, "/openapi.json")
    response = description["paths"][path][method]["responses"][str(answer[0])]
    schema = response["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": description["components"]}).validate(answer[2])


def test_many_images_are_answered_in_the_json_of_predict(
    served: Starlette, folder: Path, images: Sequence[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    call_copycat("predict", folder, *images, "--json")
    expected = json.loads(capsys.readouterr().out)["predictions"]
    answer = post_form(served, [(str(file), file.read_bytes()) for file in images])
    assert answer[0] == 200
    assert answer[2] == {"run": "a run", "predictions": expected}
    assert list(answer[2]["predictions"][0]) == list(expected[0])  # in the same order
    check_answer(served, "/predict", "post", answer)


def test_a_calibrated_run_answers_with_sets_unless_it_is_told_not_to(
    tiny: Path, images: Sequence[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_tiny("trainer.max_epochs=2", *QUIET, data=tiny, at=tmp_path).folder
    call_copycat("calibrate", folder, "--coverage", "0.6")
    for flags in ((), ("--uncalibrated",)):
        capsys.readouterr()
        call_copycat("predict", folder, *images, "--json", *flags)
        expected = json.loads(capsys.readouterr().out)["predictions"]
        runs = AppRuns({"run": open_run(folder)}, max_pixels=MAX_PIXELS, calibrated=not flags)
        served = make_application(runs)
        answer = post_form(served, [(str(file), file.read_bytes()) for file in images])
        assert answer[2]["predictions"] == expected
        assert ("set" in expected[0]) is not bool(flags)
        check_answer(served, "/predict", "post", answer)
        runs.close()


@pytest.mark.parametrize("kind", ["image/png", "image/x-own; charset=x", "application/octet-stream", None])
def test_one_image_is_the_body_itself(
    kind: str | None, served: Starlette, folder: Path, images: Sequence[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    call_copycat("predict", folder, images[3], "--json")
    expected = {**json.loads(capsys.readouterr().out)["predictions"][0], "file": "-"}
    headers = {} if kind is None else {"content-type": kind}
    answer = call_endpoint(served, "/predict", content=images[3].read_bytes(), headers=headers)
    assert (answer[0], answer[2]["predictions"]) == (200, [expected])


REFUSED: Mapping[str, tuple[bytes, Mapping[str, str], int, str]] = {
    "an empty body": (b"", {}, 400, "expected an image; got an empty body"),
    "a form without a boundary": (b"x", {"content-type": "multipart/form-data"}, 400, "expected a form of files; "),
    "a form that is none": (b"x", {"content-type": "multipart/form-data; boundary=y"}, 400, "expected a form"),
    "a form with an endless header": (
        b"--y\r\n" + b"a: b\r\n" * 100_000,
        {"content-type": "multipart/form-data; boundary=y"},
        400,
        "expected a form",
    ),
    "a boundary of control characters": (b"x", {"content-type": "multipart/form-data; boundary=\x01\x02"}, 400, ""),
    "JSON": (b"{}", {"content-type": "application/json"}, 415, "expected Content-Type image/*, "),
    "what curl sends by itself": (b"x", {"content-type": "application/x-www-form-urlencoded"}, 415, "With curl: -F"),
    "text": (b"cat", {}, 422, "-: not an image that Pillow knows"),
    "a bomb": (make_bomb(9400), {}, 422, "-: 9400 x 9400 pixels, above the limit of 50000000"),
    "a length of letters": (b"x", {"content-length": "many"}, 422, "-: not an image"),
    "another host": (b"x", {"host": "evil.example"}, 400, "expected one of the hosts 127.0.0.1, localhost, [::1]"),
    "no host": (b"x", {"host": ""}, 400, "expected one of the hosts"),
    "another page": (b"x", {"origin": "http://evil.example"}, 403, "sent by another page"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_image_is_refused_in_json(case: str, served: Starlette) -> None:
    content, headers, status, line = REFUSED[case]
    answer = call_endpoint(served, "/predict", content=content, headers=headers)
    assert answer[0] == status
    assert line in answer[2]["error"]
    check_answer(served, "/predict", "post", answer)


def test_a_damaged_form_writes_nothing_to_standard_error(
    served: Starlette, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as where the endpoint is served
    headers = {"content-type": "multipart/form-data; boundary=y"}
    assert call_endpoint(served, "/predict", content=b"--gy\r\n", headers=headers)[0] == 400
    assert capsys.readouterr().err == ""


def test_too_large_a_form_is_refused(
    served: Starlette, images: Sequence[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images[0].read_bytes()
    many = post_form(served, [("cat", image)] * 65)
    assert (many[0], many[2]["error"]) == (413, "more than 64 images: send them in several requests")
    monkeypatch.setattr(uploads, "MAX_BYTES", 2 * len(image))
    large = post_form(served, [("cat", image), ("dog", 3 * image)])
    assert large[0] == 413
    monkeypatch.setattr(uploads, "MAX_BATCH_BYTES", len(image))
    assert post_form(served, [("cat", image)])[0] == 413


def test_an_image_that_cannot_be_read_is_named_as_the_client_names_it(
    served: Starlette, images: Sequence[Path]
) -> None:
    answer = post_form(served, [("a.png", images[0].read_bytes()), ("../../etc/b.png", b"no")])
    assert (answer[0], answer[2]) == (422, {"error": "../../etc/b.png: not an image that Pillow knows"})
    check_answer(served, "/predict", "post", answer)
    fields = encode_multipart_formdata([("image", "text, not a file")])
    empty = call_endpoint(served, "/predict", content=fields[0], headers={"content-type": fields[1]})
    assert (empty[0], empty[2]["error"]) == (
        400,
        "expected images as files of the form; got none. With curl: -F image=@cat.jpg",
    )


def test_a_busy_server_says_when_to_try_again(
    served: Starlette, images: Sequence[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_REQUESTS", 0)
    answer = post_form(served, [("cat", images[0].read_bytes())])
    assert (answer[0], answer[1]["retry-after"]) == (503, "1")
    check_answer(served, "/predict", "post", answer)


def test_the_page_and_the_endpoint_share_their_limits(
    served: Starlette, images: Sequence[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_REQUESTS", 1)
    image = images[0].read_bytes()

    async def crowd() -> list[int]:
        gate = asyncio.Event()
        waiting = asyncio.create_task(ask(served, image, b"", name="a run", wait=gate.wait()))
        await asyncio.sleep(0.05)
        refused = await ask(served, image, name="a run", path="/predict")
        gate.set()
        return [refused[0], (await waiting)[0], (await ask(served, image, name="a run", path="/predict"))[0]]

    assert asyncio.run(crowd()) == [503, 200, 200]


def test_of_several_runs_one_is_named(folder: Path, images: Sequence[Path]) -> None:
    runs = AppRuns({"one": open_run(folder), "two": "weights: damaged"}, max_pixels=MAX_PIXELS)
    served, image = make_application(runs), [("cat.png", images[0].read_bytes())]
    none, absent, damaged = (
        post_form(served, image),
        post_form(served, image, run="3"),
        post_form(served, image, run="two"),
    )
    assert [none[0], absent[0], damaged[0]] == [400, 404, 409]
    assert damaged[2] == {"error": "weights: damaged"}
    assert post_form(served, image, run="one")[0] == 200
    for answer in (none, absent, damaged):
        check_answer(served, "/predict", "post", answer)
    listed = call_endpoint(served, "/runs")
    check_answer(served, "/runs", "get", listed)
    assert [(run["name"], run["problem"]) for run in listed[2]["runs"]] == [("one", None), ("two", "weights: damaged")]
    assert listed[2]["runs"][0]["classes"] == ["cat", "dog"]
    runs.close()


def test_a_network_that_gives_no_numbers_is_refused(served: Starlette, folder: Path, images: Sequence[Path]) -> None:
    runs = AppRuns({"run": open_run(folder)}, max_pixels=MAX_PIXELS)
    served = make_application(runs)
    assert post_form(served, [("cat", images[0].read_bytes())])[0] == 200
    for parameter in runs._open["run"][1].network.parameters():
        parameter.data.fill_(torch.nan)
    answer = post_form(served, [("cat", images[0].read_bytes())])
    assert (answer[0], answer[2]["error"]) == (
        409,
        "run: expected probabilities; its network gives values that are no numbers.",
    )
    runs.close()


def test_the_description_is_openapi_and_holds_for_health(served: Starlette) -> None:
    _, _, description = call_endpoint(served, "/openapi.json")
    OpenAPIV31SpecValidator(description).validate()
    assert description["openapi"] == "3.1.0"
    answer = call_endpoint(served, "/health")
    assert answer[2] == {"status": "ok", "runs": 1}
    check_answer(served, "/health", "get", answer)


@pytest.mark.parametrize(
    ("path", "content", "status"), [("/nowhere", None, 404), ("/predict", None, 405), ("/", b"", 405)]
)
def test_other_paths_and_methods_are_refused_in_json(
    path: str, content: bytes | None, status: int, served: Starlette
) -> None:
    answer = call_endpoint(served, path, content=content)
    assert (answer[0], list(answer[2])) == (status, ["error"])


def test_any_host_is_answered_where_others_reach_it(folder: Path) -> None:
    runs = AppRuns({"run": open_run(folder)}, max_pixels=MAX_PIXELS)
    served = make_application(runs, hosts=())
    assert call_endpoint(served, "/health", headers={"host": "cats.example"})[0] == 200
    own, other = {"host": "cats.example", "origin": "http://cats.example"}, {"origin": "http://evil.example"}
    assert call_endpoint(served, "/predict", content=b"x", headers=own)[0] == 422
    assert call_endpoint(served, "/predict", content=b"x", headers={**own, **other})[0] == 403
