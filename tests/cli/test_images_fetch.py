"""`peftrec images fetch`: which tables it reads, what it prints, and one line for every mistake."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from peftrec.cli import main as cli
from picture_server import PictureServer, serving

QUICK = ("pause=0", "tries=1")


@pytest.fixture(scope="module")
def server() -> Iterator[PictureServer]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("t.csv", ()),
        ("t.csv.gz", ()),
        ("t.tsv", ("id=asin", "address=url")),
        ("t.parquet", ()),
        ("t.jsonl", ("id=asin", "address=images.0.large")),
        ("t.json.gz", ("id=asin", "address=images.0.large")),
        ("bare.csv", ("header=false",)),
    ],
)
def test_every_kind_of_table_is_read(
    server: PictureServer, capsys: pytest.CaptureFixture[str], name: str, words: tuple[str, ...]
) -> None:
    addresses = {"007": server.url("a.jpg"), "b": server.url("png")}
    frame = pd.DataFrame({"item": addresses.keys(), "address": addresses.values()})
    frame.to_csv("t.csv", index=False)
    frame.to_csv("t.csv.gz", index=False)
    frame.to_csv("bare.csv", index=False, header=False)
    frame.rename(columns={"item": "asin", "address": "url"}).to_csv("t.tsv", index=False, sep="\t")
    frame.to_parquet("t.parquet")
    objects = [{"asin": item, "images": [{"large": address}, {"large": "no"}]} for item, address in addresses.items()]
    lines = f"{json.dumps(objects[0])}\n{objects[1]}\n"  # the second one a Python literal
    Path("t.jsonl").write_text(lines)
    Path("t.json.gz").write_bytes(gzip.compress(lines.encode()))
    assert cli.main(["images", "fetch", name, "pictures", *words, *QUICK]) == 0
    assert capsys.readouterr().out == "pictures: 2 of 2 pictures, 2 of them new\n"
    assert {file.name for file in Path("pictures").glob("*.*g")} == {"007.jpg", "b.png"}


def test_failures_are_said_and_leave_a_status(server: PictureServer, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        ("a", server.url("500-once/cli")),
        ("b", ""),
        *((f"c{number}", server.url("c.jpg")) for number in range(10)),
    ]
    pd.DataFrame(rows, columns=["item", "address"]).to_csv("t.csv", index=False)
    assert cli.main(["images", "fetch", "t.csv", "pictures", *QUICK]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "pictures: 10 of 12 pictures, 10 of them new",
        "10 items have one and the same picture: a server may send it for what it has not",
        "2 failed, see pictures/failures.csv; the same command tries them again",
    ]
    assert cli.main(["images", "fetch", "pictures/failures.csv", "pictures", *QUICK]) == 1
    assert capsys.readouterr().out.splitlines()[0] == "pictures: 1 of 2 pictures, 1 of them new"


def test_of_several_addresses_the_first_counts(server: PictureServer) -> None:
    Path("t.csv").write_text(f"item,address\na,\na,{server.url('one.jpg')}\na,{server.url('two.jpg')}\n")
    assert cli.main(["images", "fetch", "t.csv", "pictures", *QUICK]) == 0
    assert server.requests["one.jpg"] == 1
    assert server.requests["two.jpg"] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["t.csv"], "expected fetch TABLE TARGET, got 1 paths: t.csv"),
        (["no.csv", "p"], "no.csv: no such file"),
        (["t.csv", "t.csv"], "t.csv: is no folder; pictures are fetched into one"),
        (["t.csv", "p", "worker=3"], "unknown option worker; did you mean workers?"),
        (["t.csv", "p", "workers=0"], "workers=0: expected a whole number from 1 to 64"),
        (["t.csv", "p", "workers=1.5"], "workers=1.5: expected a whole number from 1 to 64"),
        (["t.csv", "p", "pause=nan"], "pause=nan: expected a number from 0 to 60"),
        (["t.csv", "p", "verify=yes"], "verify=yes: expected true or false"),
        (["t.csv", "p", "address=url"], "t.csv: there is no column 'url': set address to one of item, address"),
        (["t.txt", "p"], "t.txt: the suffix tells no format"),
        (["t.txt", "p", "header=false"], "t.txt: header=false is for .csv and .tsv"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("item,address\na,http://a.example/a.jpg\n")
    Path("t.txt").write_text("a")
    assert cli.main(["images", "fetch", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {expected}")
    assert not Path("p").exists()


def test_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["images", "fetch", "--help"]) == 0
    assert "usage: peftrec images fetch TABLE TARGET" in capsys.readouterr().out
