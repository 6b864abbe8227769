"""What the page of `copycat app` answers, asked without a server."""

import asyncio
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from starlette.applications import Starlette

from copycat.deploy import uploads
from copycat.deploy.app_runs import AppRuns
from copycat.deploy.app_server import make_application
from copycat.records.run_loader import open_run
from tests.support.app import ask, get_page, make_bomb
from tests.support.runs import QUIET, train_tiny

MAX_PIXELS = 50_000_000


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture
def page(folder: Path) -> Iterator[Starlette]:
    runs = AppRuns({"run": open_run(folder)}, max_pixels=MAX_PIXELS)
    yield make_application(runs)
    runs.close()


@pytest.fixture
def cat(tiny: Path) -> bytes:
    return (tiny / "val" / "cat" / "0.png").read_bytes()


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    image.save(file := BytesIO(), kind, **options)
    return file.getvalue()


def test_an_image_of_too_many_pixels_is_refused_by_its_header(page: Starlette) -> None:
    bomb = make_bomb(9400)
    assert len(bomb) < 50
    status, answer = asyncio.run(ask(page, bomb, name="run"))
    assert (status, answer["error"]) == (422, f"9400 x 9400 pixels, above the limit of {MAX_PIXELS}")


def test_the_limit_of_pixels_is_a_setting(folder: Path, cat: bytes) -> None:
    runs = AppRuns({"run": open_run(folder)}, max_pixels=63)
    page = make_application(runs)
    assert asyncio.run(ask(page, cat, name="run")) == (422, {"error": "8 x 8 pixels, above the limit of 63"})
    runs.max_pixels = 64
    assert asyncio.run(ask(page, cat, name="run"))[0] == 200
    runs.close()


def test_a_large_image_does_not_hold_up_the_others(page: Starlette, cat: bytes) -> None:
    large = save(Image.new("1", (5000, 5000)), "PNG")  # half a second to decode
    ended: list[str] = []

    async def answered(content: bytes, what: str) -> int:
        status, _ = await ask(page, content, name="run")
        ended.append(what)
        return status

    async def both() -> list[int]:
        await ask(page, cat, name="run")  # opens the run
        first = asyncio.create_task(answered(large, "large"))
        await asyncio.sleep(0.05)
        return await asyncio.gather(first, *(answered(cat, "small") for _ in range(3)))

    assert asyncio.run(both()) == [200] * 4
    assert ended == [*["small"] * 3, "large"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        (None, 200),  # curl
        ("http://evil.example", 403),
        ("http://127.0.0.1:8001", 403),
        ("https://127.0.0.1:8000", 403),
        ("null", 403),
    ],
)
def test_an_image_that_another_page_sends_is_refused(
    origin: str | None, status: int, page: Starlette, cat: bytes
) -> None:
    headers = {} if origin is None else {"origin": origin}
    assert asyncio.run(ask(page, cat, name="run", headers=headers))[0] == status


def test_a_client_that_goes_away_while_it_sends_raises_nothing(page: Starlette, cat: bytes) -> None:
    asyncio.run(ask(page, cat[:20], cat[20:], name="run", disconnects=True))


@pytest.mark.parametrize("limit", ["MAX_REQUESTS", "MAX_TOTAL_BYTES"])
def test_what_waits_is_bounded_and_makes_room_once_answered(
    limit: str, page: Starlette, cat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, limit, 2 if limit == "MAX_REQUESTS" else 2 * len(cat) + 1)

    async def crowd() -> list[int]:
        gate = asyncio.Event()
        waiting = [asyncio.create_task(ask(page, cat, b"", name="run", wait=gate.wait())) for _ in range(2)]
        await asyncio.sleep(0.05)
        refused = await ask(page, cat, name="run")
        gate.set()
        answered = await asyncio.gather(*waiting)
        after = await ask(page, cat, name="run")
        return [refused[0], *(status for status, _ in answered), after[0]]

    assert asyncio.run(crowd()) == [503, 200, 200, 200]


def test_an_image_that_takes_too_long_to_arrive_is_given_up(
    page: Starlette, cat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "TIMEOUT_SECONDS", 0.05)

    async def slow() -> int:
        return (await ask(page, cat, b"", name="run", wait=asyncio.sleep(60)))[0]

    assert asyncio.run(slow()) == 408


def test_an_image_that_still_arrives_as_the_server_ends_is_answered(page: Starlette, cat: bytes) -> None:
    async def end() -> int:
        sending = asyncio.create_task(ask(page, cat, b"", name="run", wait=asyncio.sleep(60)))
        await asyncio.sleep(0.05)
        sending.cancel()
        return (await sending)[0]

    assert asyncio.run(end()) == 503


def test_an_example_is_classified_as_its_file_is(page: Starlette, tiny: Path) -> None:
    by_place = asyncio.run(ask(page, b"", name="run", query={"source": "run", "example": 1}))
    dog = (tiny / "val" / "dog" / "0.png").read_bytes()  # of each class in turn, the first
    assert by_place == asyncio.run(ask(page, dog, name="run"))
    assert by_place[0] == 200


@pytest.mark.parametrize(("source", "example"), [("run", "8"), ("run", "-1"), ("run", "²"), ("../run", "0"), ("", "0")])
def test_an_example_that_is_not_there_is_refused(source: str, example: str, page: Starlette) -> None:
    status, answer = asyncio.run(ask(page, b"", name="run", query={"source": source, "example": example}))
    assert (status, answer["error"]) == (404, "no such example: load the page again")


def test_the_page_escapes_names_and_runs_its_own_script_alone(folder: Path) -> None:
    runs = AppRuns({"<img src=x>": open_run(folder), "damaged": "<b>weights</b>: damaged"}, max_pixels=MAX_PIXELS)
    page = make_application(runs)
    headers, text = asyncio.run(get_page(page))
    assert "<img src=x>" not in text
    assert "&lt;b&gt;weights&lt;/b&gt;: damaged" in text
    policy = dict(part.split(maxsplit=1) for part in headers["content-security-policy"].split("; "))
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', text))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == f"'nonce-{nonce}'"
    assert "style=" not in text
    assert asyncio.run(get_page(page))[1] != text  # another nonce each time
    status, answer = asyncio.run(ask(page, b"", name="damaged"))
    assert (status, answer["error"]) == (409, "<b>weights</b>: damaged")
