"""The words of `peftrec serve`, before anything is loaded."""

from pathlib import Path

import pytest

from peftrec.errors import SettingsError
from peftrec.serving.http.limits import LIMITS, Limits
from peftrec.serving.http.request import ServeRequest


def of(*runs: str, **own: str) -> ServeRequest:
    return ServeRequest.of([Path(run) for run in runs or ("runs/x/a",)], own, ())


def test_defaults_and_what_is_given() -> None:
    assert of() == ServeRequest(runs=(Path("runs/x/a"),))
    given = of("runs/x/a", "runs/x/b", host="0.0.0.0", port="0", keep="kept", wait_ms="5", max_k="7", max_body_mib="1")
    assert given.runs == (Path("runs/x/a"), Path("runs/x/b"))
    assert (given.host, given.port, given.keep, given.wait_seconds) == ("0.0.0.0", 0, Path("kept"), 0.005)
    assert given.limits == Limits(max_k=7, max_body_mib=1)
    assert given.limits.max_body_bytes == 2**20


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"port": "70000"}, "port=70000: expected a whole number from 0 to 65,535"),
        ({"port": "-1"}, "port=-1: expected a whole number"),
        ({"port": "٣"}, "port=٣: expected a whole number"),
        ({"wait_ms": "2000"}, "wait_ms=2000: expected a whole number from 0 to 1,000"),
        ({"content_neighbours": "most"}, "content_neighbours='most': expected auto, off, or a number from 0"),
        ({"host": "a b"}, "host=a b: expected a name or address of this machine"),
        *(({key: "0"}, f"{key}=0: expected a whole number from 1") for key in LIMITS),
    ],
)
def test_a_word_that_is_none(own: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        of(**own)


def test_a_file_is_no_folder_that_keeps(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"keep=.*file: this is a file; name a folder"):
        of(keep=str(tmp_path / "file"))


def test_two_runs_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="two folders are called lora-1"):
        of("a/lora-1", "b/lora-1/")


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.0.4", False),
        ("::", False),
        ("myhost", False),
    ],
)
def test_which_hosts_are_this_machine_alone(host: str, is_loopback: bool) -> None:
    assert of(host=host).is_loopback == is_loopback
