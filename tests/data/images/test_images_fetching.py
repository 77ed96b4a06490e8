"""Fetching from a server on loopback that fails in every way: each failure has its reason and tries, and no picture."""

import csv
import hashlib
import re
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from peftrec.data.images import ledger
from peftrec.data.images.download import Downloader, FetchError, Limits, plain_address
from peftrec.data.images.fetching import Effort, Fetched, Fetching
from peftrec.data.images.ledger import FAILURES, FETCHED, Ledger
from peftrec.data.images.opening import open_images
from peftrec.data.images.politeness import SILENT, Politeness
from peftrec.errors import DataError
from picture_server import PictureServer, closed_port, serving
from small_images import encoded

pytestmark = pytest.mark.integration

LIMITS = Limits(max_bytes=20_000, seconds=2.0, silent_seconds=0.5)


@pytest.fixture(scope="module")
def server() -> Iterator[PictureServer]:
    with serving() as running:
        yield running


def fetch(
    folder: Path, addresses: dict[str, str], *, verify: bool = False, limits: Limits = LIMITS, **how: Any
) -> Fetched:
    effort = {"first_wait": 0.01, **{name: how.pop(name) for name in ("workers", "tries") if name in how}}
    with Ledger.opened(folder, verify=verify) as ledger:
        return Fetching(
            ledger=ledger,
            downloader=Downloader(limits),
            politeness=Politeness(**{"pause": 0.0, **how}),
            effort=Effort(**effort),
        ).run(addresses)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def pictures(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.suffix != ".csv" and not file.name.startswith(".")}


def test_pictures_are_fetched_checked_and_listed(tmp_path: Path, server: PictureServer) -> None:
    paths = {"a": "one.jpg", "b 1": "png", "c.d": "webp", "é": "gif", "e": "moved"}
    fetched = fetch(tmp_path, {item: server.url(path) for item, path in paths.items()})
    assert fetched == Fetched(present=0, new=5, failures=(), most_shared=1)
    assert pictures(tmp_path) == {"a.jpg", "b 1.png", "c.d.webp", "é.jpg", "e.jpg"}
    for row in rows(tmp_path / FETCHED):
        content = (tmp_path / row["file"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert int(row["bytes"]) == len(content)
        assert row["address"] == server.url(paths[row["item"]])
    opened = open_images(tmp_path, tuple(paths), key="data.images")
    assert [opened.load(item).size for item in range(5)] == [(6, 8), (12, 9), (12, 9), (12, 9), (6, 8)]
    assert rows(tmp_path / FAILURES) == []


@pytest.mark.parametrize(
    ("path", "reason", "tries"),
    [
        ("404/x", "the server answered 404", 1),
        ("410/x", "the server answered 410", 1),
        ("500/x", "the server answered 500", 2),
        ("204/x", "the server answered 204", 1),
        ("empty/x", "0 bytes that are no JPEG, PNG, WebP, GIF, BMP or AVIF image", 1),
        ("page/x", "17 bytes that are no JPEG", 1),
        ("svg/x", "bytes that are no JPEG", 1),
        ("half/x", "cannot be decoded", 1),
        ("bomb/x", "cannot be decoded|of which nothing was read", 1),
        ("large/x", "more than max_bytes=20000 bytes", 1),
        ("large-unsaid/x", "more than max_bytes=20000 bytes", 1),
        ("broken-off/x", "broke off [0-9]+ bytes before its end", 2),
        ("broken-chunks/x", "IncompleteRead", 2),
        ("compressed/x", "sends it compressed", 1),
        ("forbidden/x", "no use for machine learning", 1),
        ("garbage/x", "what", 2),
        ("headers/x", "more than 100 headers", 2),
        ("nothing/x", "closed connection without response", 2),
        ("reset/x", "reset|closed connection", 2),
        ("silent/x", "no byte for 0.5 seconds", 2),
        ("drip/x", "took more than 2 seconds", 2),
        ("drip-header/x", "took more than 2 seconds", 2),
        ("circle", "the server answered 302", 1),
        ("to-file/x", "the server answered 302", 1),
        ("to-ftp/x", "unknown url type: ftp", 2),
    ],
)
def test_a_failure_has_its_reason(tmp_path: Path, server: PictureServer, path: str, reason: str, tries: int) -> None:
    address = server.url(path)
    started = time.monotonic()
    fetched = fetch(tmp_path, {"bad": address, "good": server.url("fine.jpg")}, tries=2, workers=2)
    assert time.monotonic() - started < 15
    assert fetched.new == 1
    ((item, where, found, tried),) = fetched.failures
    assert (item, where, tried) == ("bad", address, tries)
    assert re.search(reason, found), found
    assert pictures(tmp_path) == {"good.jpg"}
    assert rows(tmp_path / FAILURES) == [{"item": "bad", "address": address, "reason": found, "tries": str(tries)}]


def test_a_server_that_asks_for_a_day_is_asked_nothing_more(tmp_path: Path, server: PictureServer) -> None:
    addresses = {"bad": server.url("429-long/x"), "good": server.url("fine.jpg")}
    fetched = fetch(tmp_path, addresses, tries=2, workers=1)
    assert fetched.new == 0
    assert [(item, tried) for item, _, _, tried in fetched.failures] == [("bad", 1), ("good", 0)]
    assert all("asked to be left alone for 86" in reason for _, _, reason, _ in fetched.failures)


@pytest.mark.parametrize(
    ("item", "address", "reason"),
    [
        ("a", "", "no address"),
        ("a", "nothing.jpg", "no address of http or https"),
        ("a", "file:///etc/passwd", "no address of http or https"),
        ("a", "http://user:word@127.0.0.1/x.jpg", "no address of http or https"),
        ("a", "http://[::1/x.jpg", "no address"),
        ("a", "http://127.0.0.1:99999/x.jpg", "no address"),
        ("../a", "{server}", "its id makes no file name"),
        (".a", "{server}", "its id makes no file name"),
        ("a\nb", "{server}", "its id makes no file name"),
        ("a" * 201, "{server}", "its id makes no file name"),
    ],
)
def test_what_is_no_address_or_no_name_is_never_asked_for(
    tmp_path: Path, server: PictureServer, item: str, address: str, reason: str
) -> None:
    before = server.requests.total()
    (failure,) = fetch(tmp_path, {item: address.format(server=server.url("x.jpg"))}).failures
    assert failure.reason.startswith(reason)
    assert server.requests.total() == before
    assert pictures(tmp_path) == set()
    assert rows(tmp_path / FAILURES)[0]["item"] == item


def test_what_passes_is_tried_again(tmp_path: Path, server: PictureServer) -> None:
    fetched = fetch(tmp_path, {"a": server.url("500-once/1"), "b": server.url("503-once/2")})
    assert fetched.failures == ()
    assert server.requests["500-once/1"] == server.requests["503-once/2"] == 2


def test_a_rerun_fetches_what_is_missing_and_nothing_else(tmp_path: Path, server: PictureServer) -> None:
    addresses = {f"i{number}": server.url(f"rerun/{number}") for number in range(5)}
    addresses["gone"] = server.url("500-once/rerun")
    assert len(fetch(tmp_path, addresses, tries=1).failures) == 1
    (tmp_path / "i1.jpg").unlink()
    (tmp_path / "i2.jpg").write_bytes(encoded(3, "jpg")[:40])
    before = server.requests.copy()
    assert fetch(tmp_path, addresses, tries=1) == Fetched(present=3, new=3, failures=(), most_shared=1)
    asked = server.requests - before
    assert asked == {"rerun/1": 1, "rerun/2": 1, "500-once/rerun": 1}
    assert rows(tmp_path / FAILURES) == []
    before = server.requests.copy()
    assert fetch(tmp_path, addresses).present == 6
    assert server.requests == before


def test_checksums_are_compared_where_asked(tmp_path: Path, server: PictureServer) -> None:
    addresses = {"a": server.url("sum/a"), "b": server.url("sum/b")}
    fetch(tmp_path, addresses)
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    content[-10] ^= 1
    (tmp_path / "a.jpg").write_bytes(content)
    assert fetch(tmp_path, addresses).present == 2, "its size is the same"
    assert fetch(tmp_path, addresses, verify=True) == Fetched(present=1, new=1, failures=(), most_shared=1)
    assert fetch(tmp_path, addresses, verify=True).present == 2


def test_another_address_is_fetched_anew_and_another_format_leaves_one_file(
    tmp_path: Path, server: PictureServer
) -> None:
    fetch(tmp_path, {"a": server.url("first.jpg")})
    assert fetch(tmp_path, {"a": server.url("png")}).new == 1
    assert pictures(tmp_path) == {"a.png"}
    (tmp_path / "a.png").write_bytes(b"damaged")
    assert fetch(tmp_path, {"a": server.url("webp")}).new == 1
    assert pictures(tmp_path) == {"a.webp"}


def test_after_a_kill_pictures_without_a_line_and_half_a_line_are_mended(tmp_path: Path, server: PictureServer) -> None:
    addresses = {name: server.url(f"kill/{name}") for name in "abc"}
    fetch(tmp_path, addresses)
    ledger = tmp_path / FETCHED
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:-1]) + lines[-1][:20])
    (tmp_path / ".b.jpg.999999999.partial").write_bytes(b"half")
    (tmp_path / "d.jpg").write_bytes(b"\xff\xd8\xff half of a picture that another program left")
    before = server.requests.copy()
    assert fetch(tmp_path, addresses) == Fetched(present=3, new=0, failures=(), most_shared=1)
    assert server.requests == before
    assert sorted(row["item"] for row in rows(ledger)) == ["a", "b", "c"]
    assert not (tmp_path / ".b.jpg.999999999.partial").exists()
    assert fetch(tmp_path, {**addresses, "d": server.url("png")}).new == 1
    assert pictures(tmp_path) == {"a.jpg", "b.jpg", "c.jpg", "d.png"}


@pytest.mark.parametrize(
    "content",
    [
        "other,columns\n1,2\n",
        "{header}a,b,c\n",
        "{header}a,x,../a.jpg,00,1,1,1\n",
        "{header}a,x,b.jpg,00,1,1,1\n",
        "{header}a,x,a.jpg,00,many,1,1\n",
        '{header}a,"x,a.jpg,00,1,1,1\n',
        "\udcff\n",
    ],
)
def test_damaged_books_are_one_error(tmp_path: Path, content: str) -> None:
    header = "item,address,file,sha256,bytes,width,height\n"
    (tmp_path / FETCHED).write_bytes(content.replace("{header}", header).encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"fetched\.csv: not what .* remove it"), Ledger.opened(tmp_path):
        pass


def test_items_of_one_address_share_a_request(tmp_path: Path, server: PictureServer) -> None:
    fetched = fetch(tmp_path, {f"i{number}": server.url("shared.jpg") for number in range(12)})
    assert (fetched.new, fetched.most_shared) == (12, 12)
    assert server.requests["shared.jpg"] == 1


def test_one_server_gets_few_requests_at_once_with_pauses(tmp_path: Path) -> None:
    with serving() as server:
        addresses = {f"i{number}": server.url(f"slow/{number}") for number in range(12)}
        fetch(tmp_path / "few", addresses, workers=8, per_host=2)
        assert server.most_at_once == 2
        server.starts.clear()
        fetch(tmp_path / "paused", {name: server.url(f"p/{name}") for name in "abcdef"}, workers=6, pause=0.05)
        starts = sorted(server.starts)
        gaps = [later - earlier for earlier, later in pairwise(starts)]
        assert sum(gaps) >= 5 * 0.045
    with serving() as server:
        fetch(tmp_path / "many", {f"i{n}": server.url(f"slow/{n}") for n in range(12)}, workers=6, per_host=6)
        assert server.most_at_once > 2, "the bound above was per_host"


def test_a_dead_server_is_asked_no_more(tmp_path: Path, server: PictureServer) -> None:
    dead = f"http://127.0.0.1:{closed_port()}/"
    addresses = {f"dead{number}": f"{dead}{number}" for number in range(40)} | {"live": server.url("live.jpg")}
    fetched = fetch(tmp_path, addresses, workers=1, tries=1)
    assert fetched.new == 1
    reasons = [failure.reason for failure in fetched.failures]
    assert sum("refused" in reason for reason in reasons) == SILENT
    assert sum("asked no more" in reason for reason in reasons) == 40 - SILENT
    assert [failure.item for failure in fetched.failures] == [f"dead{number}" for number in range(40)]


def test_one_process_fetches_into_a_folder(tmp_path: Path) -> None:
    with (
        Ledger.opened(tmp_path),
        pytest.raises(DataError, match="another process fetches into this folder"),
        Ledger.opened(tmp_path),
    ):
        pass
    with Ledger.opened(tmp_path):
        pass


def test_a_full_disk_ends_the_run_and_keeps_what_is_there(
    tmp_path: Path, server: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def fills_up(path: Path, content: bytes) -> None:
        if path.suffix == ".jpg":
            if len(written) == 2:
                raise OSError(28, "No space left on device")
            written.append(path)
        path.write_bytes(content)

    monkeypatch.setattr(ledger, "write_atomically", fills_up)
    addresses = {f"i{number}": server.url(f"full/{number}") for number in range(6)}
    with pytest.raises(OSError, match="No space"):
        fetch(tmp_path, addresses, workers=2)
    monkeypatch.undo()
    assert fetch(tmp_path, addresses) == Fetched(present=2, new=4, failures=(), most_shared=1)


def test_downloads_under_way_end_when_stopped(server: PictureServer) -> None:
    downloader = Downloader(Limits(seconds=60, silent_seconds=30))
    threading.Timer(0.3, downloader.stop).start()
    started = time.monotonic()
    with pytest.raises(FetchError):
        downloader.download(server.url("silent/stopped"))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("http://a.example/x y.jpg", "http://a.example/x%20y.jpg"),
        ("https://a.example/%20é?q=1 2#f", "https://a.example/%20%C3%A9?q=1%202"),
        (" https://A.example:8080 ", "https://a.example:8080/"),
        ("http://bücher.example/a", "http://xn--bcher-kva.example/a"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("http://a.example/\r\nHost: b", "http://a.example/Host:%20b"),
    ],
)
def test_an_address_is_escaped_as_a_request_needs(address: str, plain: str) -> None:
    assert plain_address(address) == plain
