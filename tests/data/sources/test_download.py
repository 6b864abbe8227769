"""Downloads from a real server on 127.0.0.1."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from copycat.config.errors import FailedDownloadError, UserError
from copycat.config.places import cache_folder
from copycat.data.sources import download
from copycat.data.sources.download import fetch_cats
from tests.support.commands import call_copycat

TRAIN = bytes(range(256)) * 2000
TEST = TRAIN[::-1][:70_000]
NAMES = ["train_catvnoncat.h5", "test_catvnoncat.h5"]


class Server(ThreadingHTTPServer):
    """Serves `files`; can cut connections, ignore ranges and fail. Remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(zip(NAMES, (TRAIN, TEST), strict=True))
        self.cuts: list[int] = []  # one connection each: bytes sent before it breaks
        self.failures: list[int] = []  # one answer each: its status
        self.knows_ranges = True
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/some/where"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        span = self.headers["Range"]
        self.server.asked.append((name, span))
        if self.server.failures or name not in self.server.files:
            self.send_error(self.server.failures.pop(0) if self.server.failures else 404)
            return
        content = self.server.files[name]
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span and self.server.knows_ranges else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(content)
        self.wfile.write(content[start:][:cut])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in zip(NAMES, (TRAIN, TEST), strict=True)}
    monkeypatch.setattr(download, "SHA256", sums)
    monkeypatch.setattr(download, "RETRY_DELAY", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        monkeypatch.setenv("COPYCAT_MIRROR", f"{server.url}/")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def read_files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_both_files_arrive_whole_and_nothing_else_is_left(server: Server, tmp_path: Path) -> None:
    paths = fetch_cats(tmp_path / "new" / "data")
    assert [path.name for path in paths] == NAMES
    assert read_files(tmp_path / "new" / "data") == server.files


@pytest.mark.parametrize(("named", "folder"), [("", "work/data"), ("~/cats", "cats")])
def test_the_variable_names_the_folder_as_for_training(
    named: str, folder: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COPYCAT_DATA", named)
    monkeypatch.setenv("COPYCAT_CACHE", "~/cache")
    call_copycat("data", "fetch", "cats")
    assert read_files(tmp_path / folder) == server.files
    assert cache_folder() == tmp_path / "cache"


def test_a_connection_cut_twice_goes_on_at_the_byte_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cuts = [204_800, 102_400]
    fetch_cats(tmp_path)
    assert server.asked[:3] == [(NAMES[0], None), (NAMES[0], "bytes=204800-"), (NAMES[0], "bytes=307200-")]
    assert read_files(tmp_path) == server.files


def test_a_connection_cut_within_a_block_goes_on_shortly_before(server: Server, tmp_path: Path) -> None:
    server.cuts = [200_000]
    fetch_cats(tmp_path)
    assert server.asked[1] == (NAMES[0], f"bytes={200_000 // download.BLOCK_BYTES * download.BLOCK_BYTES}-")
    assert read_files(tmp_path) == server.files


@pytest.mark.parametrize("part", [TRAIN[:1234], TRAIN, TRAIN + b"more"], ids=["begun", "whole", "too long"])
def test_a_part_of_an_earlier_call_is_gone_on_with_or_thrown_away(part: bytes, server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{NAMES[0]}.part").write_bytes(part)
    fetch_cats(tmp_path)
    assert server.asked[0] == (NAMES[0], f"bytes={len(part)}-")
    assert part != TRAIN or [name for name, _ in server.asked].count(NAMES[0]) == 1  # no more bytes are needed
    assert read_files(tmp_path) == server.files


def test_a_server_that_knows_no_ranges_sends_the_file_again_and_it_is_whole(server: Server, tmp_path: Path) -> None:
    server.knows_ranges = False
    server.cuts = [200_000]
    fetch_cats(tmp_path)
    assert read_files(tmp_path) == server.files


def test_five_cuts_are_one_clear_line_and_leave_the_part_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.cuts = [1024] * 5
    with pytest.raises(FailedDownloadError, match=r"broke 5 times.*by hand") as raised:
        fetch_cats(tmp_path)
    assert f"Type `copycat data fetch cats {tmp_path}` to resume" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert read_files(tmp_path) == {f"{NAMES[0]}.part": TRAIN[:5120]}
    fetch_cats(tmp_path)
    assert read_files(tmp_path) == server.files


def test_a_file_with_another_checksum_is_not_left_in_place(server: Server, tmp_path: Path) -> None:
    server.files[NAMES[0]] = b"<html>log in first</html>"
    with pytest.raises(FailedDownloadError, match=r"expected the SHA-256 \w{64}; got another file, and threw it away"):
        fetch_cats(tmp_path)
    assert read_files(tmp_path) == {}


def test_a_present_file_is_not_asked_for_and_the_user_is_told(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAMES[0]).write_bytes(TRAIN)
    fetch_cats(tmp_path)
    assert [name for name, _ in server.asked] == [NAMES[1]]
    told = capsys.readouterr()
    assert f"{tmp_path / NAMES[0]}: already there" in told.err
    assert told.out == ""


def test_a_present_file_with_the_wrong_checksum_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / NAMES[1]).write_bytes(TEST[:-1])
    fetch_cats(tmp_path)
    assert read_files(tmp_path) == server.files


def test_a_file_that_is_not_there_is_said_at_once(server: Server, tmp_path: Path) -> None:
    del server.files[NAMES[0]]
    with pytest.raises(FailedDownloadError, match=r"train_catvnoncat\.h5: the server has no such file \(HTTP 404\)"):
        fetch_cats(tmp_path)
    assert len(server.asked) == 1
    assert read_files(tmp_path) == {}


def test_a_server_that_fails_once_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.failures = [500]
    fetch_cats(tmp_path)
    assert read_files(tmp_path) == server.files


def test_a_server_that_keeps_failing_is_said_clearly(server: Server, tmp_path: Path) -> None:
    server.failures = [503] * 5
    with pytest.raises(FailedDownloadError, match=r"the server does not give it \(HTTP 503\)"):
        fetch_cats(tmp_path)


def test_no_connection_says_what_to_type_and_where_to_get_it_by_hand(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("COPYCAT_MIRROR", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(
            FailedDownloadError, match=r"no connection to 127\.0\.0\.1.*raw\.githubusercontent\.com"
        ) as raised:
            fetch_cats(tmp_path)
        call_copycat("data", "fetch", "cats", tmp_path, status=1)  # the call was right
    assert "\n" not in str(raised.value)
    assert capsys.readouterr().out == ""


def test_a_mirror_that_is_no_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPYCAT_MIRROR", "banana")
    with pytest.raises(UserError, match="expected an http or https address; got 'banana/train"):
        fetch_cats(tmp_path)


def test_a_folder_that_is_a_file_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(UserError, match="can't write"):
        fetch_cats(tmp_path / "data")


def test_an_interrupt_leaves_the_part_alone(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    server.cuts = [4096]
    monkeypatch.setattr("time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_cats(tmp_path)
    assert read_files(tmp_path) == {f"{NAMES[0]}.part": TRAIN[:4096]}


def test_the_public_copy_is_named_by_its_commit() -> None:
    assert download.BASE_URL == (
        "https://raw.githubusercontent.com/Hiren2002/Logistic-Regression/"
        "5aa70859e5a6890e07d9a4c3294e8adb4b6a033f/datasets"
    )
    assert [digest[:8] for digest in download.SHA256.values()] == ["fbe56ab6", "6a9d39ce"]
