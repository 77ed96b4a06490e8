"""The words of `peftrec serve`, and one service in a process of its own."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from peftrec.cli import serve
from peftrec.cli.main import main as command_line
from peftrec.processes import TERMINATED
from peftrec.serving.http.listening import taken_port
from peftrec.serving.http.request import WORKER, ServeRequest
from peftrec.serving.recommending import recommend
from recommend_requests import read_request
from small_exports import finished_run
from small_models import strategy_files


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["port=0"], "run is required: set run=RUN_DIR"),
        (["run=x", "prot=1"], "prot=1: unknown to peftrec serve; did you mean port"),
        (["run=x", "port=1", "port=2"], "port=2: port is given twice"),
        (["run=x", "port=x"], "port=x: expected a whole number from 0 to 65,535"),
        (["run=nowhere", "port=0"], "nowhere: no such record; is nowhere the folder of a run"),
        (["run=nowhere", "port=0", "content_neighbours=0.25"], "nowhere: no such record"),
        (["run=x", "content_neighbours=most"], "content_neighbours='?most'?: expected auto"),
        (["run=a/x", "run=b/x"], "two folders are called x"),
        (["run=x", "host=203.0.113.7"], "host=203.0.113.7: .*no such address"),
    ],
)
def test_words_that_are_not_understood(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["serve", *words]) == 2
    printed = capsys.readouterr()
    assert re.search(message, printed.err)
    assert printed.err.count("\n") == 1


def test_a_port_that_is_taken_is_told_before_a_run_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    listener = taken_port("127.0.0.1", 0)
    listener.listen()
    port = listener.getsockname()[1]
    assert command_line(["serve", "run=nowhere", f"port={port}"]) == 2
    listener.close()
    assert f"port={port}: Address already in use; name another port" in capsys.readouterr().err


def test_a_run_that_cannot_be_served_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["serve", f"run={tmp_path}", "port=0"]) == 2
    printed = capsys.readouterr()
    assert "no such record" in printed.err
    assert "ready" not in printed.out


def test_without_the_extra_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("peftrec.serving.http.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr("peftrec.cli.serve.read_finished", lambda run: None)
    assert command_line(["serve", "run=x", "port=0"]) == 2
    assert 'serve needs the package uvicorn: pip install "peftrec[serve]"' in capsys.readouterr().err


def test_a_worker_that_computes_what_nobody_waits_for_does_not_keep_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python waits for no thread of this kind, and takes its modules away beneath it."""
    left: list[int] = []
    monkeypatch.setattr("os._exit", left.append)
    request, may_end = ServeRequest(runs=(), keep=Path("kept")), threading.Event()
    assert serve._ended("interrupted", 130, request) == 130
    assert left == []
    worker = threading.Thread(target=may_end.wait, name=WORKER, daemon=True)
    worker.start()
    serve._ended("ended by SIGTERM", TERMINATED, request)
    may_end.set()
    worker.join()
    assert left == [TERMINATED]
    assert capsys.readouterr().err == (
        "interrupted; items that were added to the service are kept in kept\n"
        "ended by SIGTERM; items that were added to the service are kept in kept\n"
    )


def open_requests(port: int) -> float:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        text = response.read().decode()
    return float(re.search(r"^peftrec_open_requests (\S+)$", text, re.MULTILINE)[1])  # type: ignore[index]


def is_listening(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
def test_a_body_that_does_not_come_keeps_no_service(signals: int, tmp_path: Path) -> None:
    (file,) = [file for file in strategy_files() if file.stem == "iisan_cached"]
    run_directory = finished_run(tmp_path, file, num_blocks=2)
    command = [sys.executable, "-m", "peftrec", "serve", f"run={run_directory}", "port=0", "max_body_seconds=7"]
    head = b"POST /recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        assert process.stdout is not None
        port = int(process.stdout.readline().strip().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as late:
            late.sendall(head)
            assert late.recv(100).startswith(b"HTTP/1.1 408 ")
        with socket.create_connection(("127.0.0.1", port)) as late:
            late.sendall(head)
            wait_until(lambda: open_requests(port) == 2)  # it, and the one that asks
            told = time.monotonic()
            for _ in range(signals):
                process.send_signal(signal.SIGINT)
                wait_until(lambda: not is_listening(port))  # told once, and not yet at its end
            errors = process.communicate()[1]
        watchdog.cancel()
    assert process.returncode == 128 + signal.SIGINT
    assert errors.startswith("interrupted; items that were added")
    assert errors.count("\n") == 1
    assert time.monotonic() - told < 10


@pytest.mark.slow
def test_a_service_answers_until_it_is_told_to_end(tmp_path: Path) -> None:
    (file,) = [file for file in strategy_files() if file.stem == "iisan_cached"]
    run_directory = finished_run(tmp_path, file, num_blocks=2)
    command = [sys.executable, "-m", "peftrec", "serve", f"run={run_directory}", "port=0", "max_body_mib=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(120, process.kill)  # a line that never comes ends the test, and not the wait
        watchdog.start()
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("ready: http://127.0.0.1:"), process.communicate()
        address = ready.removeprefix("ready: ").strip()
        body = json.dumps({"user": "user00007", "k": 4}).encode()
        asked = Request(f"{address}/recommend", body, {"content-type": "application/json"})
        with urlopen(asked) as response:
            answer = json.load(response)
        with pytest.raises(HTTPError, match="413"):  # for a client that reads no answer before it has sent all
            urlopen(Request(f"{address}/recommend", b" " * 2**22, {"content-type": "application/json"}), timeout=60)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate()
        watchdog.cancel()
    assert process.returncode == TERMINATED
    assert not output
    assert errors == "ended by SIGTERM; items that were added to the service are gone; keep=DIR keeps them\n"
    expected = recommend(read_request([f"run={run_directory}", "user=user00007", "k=4"]), None).recommendations
    assert [(each["item"], each["score"]) for each in answer["recommendations"]] == [
        (each.item, each.score) for each in expected
    ]
