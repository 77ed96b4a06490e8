"""A process that is forked finds what a fresh one does, and the server forks only where that is safe."""

import gzip
import json
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from peftrec.code import user_code
from peftrec.devices import settle_threads
from peftrec.errors import UserError
from peftrec.jobs import fork_server
from peftrec.jobs.fork_server import Server
from peftrec.jobs.starting import ForkServer, Program, start

pytestmark = pytest.mark.integration

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A stand-in for a job, in a folder with a module by which it would break if that were seen."""
    (tmp_path / "lightning.py").write_text("raise RuntimeError('the wrong one')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(TESTS))
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "3"}
    settle_threads(environment)
    return Program(module="told_job", arguments=(str(tmp_path / "told.json"),), environment=environment, threads=1)


def run(program: Program, server: ForkServer | None) -> tuple[int, str, dict[str, Any]]:
    running = start(program, server, reads_output=True)
    assert running.output is not None
    said = running.output.read()
    status = running.process.wait()
    running.close()
    place = Path(program.arguments[0])
    assert place.with_suffix(".atexit").exists(), "what was registered to run at the end ran"
    place.with_suffix(".atexit").unlink()
    return status, said, json.loads(place.read_text())


def test_forked_and_fresh_processes_find_the_same(program: Program, job_server: ForkServer, tmp_path: Path) -> None:
    server = ForkServer()
    server.start()  # the worker's, which is there already
    assert server.fits(program)
    status, said, forked = run(program, server)
    assert (status, said) == (7, "printed\ncomplained\n")
    fresh_status, fresh_said, fresh = run(program, None)
    assert (fresh_status, sorted(fresh_said.split())) == (7, sorted(said.split()))
    for told in (forked, fresh):
        assert told["folder"] == str(tmp_path)
        assert told["device"] == "3"
        assert told["threads"] == 1
        assert told["group"]
        assert told["interrupt"]
        assert told["blocked"] == []
        assert "lightning" not in str(told["lightning"]) or "site-packages" in told["lightning"]
        assert str(tmp_path) not in told["path"]
    for same in ("name", "arguments", "said"):
        assert forked[same] == fresh[same]
    assert forked["path"] == [place for place in sys.path if place]
    again = run(program, server)[2]
    assert again["draw"] != forked["draw"], "jobs do not share the state of the server's random numbers"
    assert fresh["server"] == os.getpid()
    assert forked["server"] != os.getpid()
    assert forked["knows_commit"], "a commit that comes while a sweep runs is not that of the code that its jobs run"


@pytest.mark.parametrize("how", ["text", "none", "beyond", "true", "raise", "interrupt", "closed", "unread", "full"])
def test_forked_and_fresh_processes_end_alike(how: str, program: Program, job_server: ForkServer) -> None:
    server = ForkServer()
    server.start()
    place = Path(program.arguments[0])
    ends = []
    for asked in (server, None):
        running = start(replace(program, arguments=(str(place), how)), asked, reads_output=True)
        assert running.output is not None
        said = running.output.read().splitlines()
        ends.append((running.process.wait(), said[-1:]))
        running.close()
        assert place.with_suffix(".open").read_text() == "written out"
        assert gzip.decompress(place.with_suffix(".gz").read_bytes()) == b"written out", "its end, too"
        assert place.with_suffix(".late").exists(), "its threads were waited for"
        place.with_suffix(".open").unlink()
        place.with_suffix(".late").unlink()
    assert ends[0] == ends[1]
    said = {"text": ["why it ended"], "raise": ["ValueError: an error of its own"], "interrupt": ["KeyboardInterrupt"]}
    said |= {
        "unread": ["BrokenPipeError: [Errno 32] Broken pipe"],
        "full": ["OSError: [Errno 28] No space left on device"],
    }
    status = {"none": 0, "beyond": 2, "interrupt": -2, "closed": 3, "unread": 120, "full": 120}
    assert ends[0] == (status.get(how, 1), said.get(how, []))


def test_an_environment_that_imports_would_read_takes_a_fresh_process(program: Program, job_server: ForkServer) -> None:
    server = ForkServer()
    server.start()
    for name, fits in {
        "CUDA_VISIBLE_DEVICES": True,
        "SLURM_JOB_ID": True,
        "OMP_WAIT_POLICY": False,
        "X": False,
    }.items():
        other = Program(
            module=program.module, arguments=program.arguments, environment={**program.environment, name: "passive"}
        )
        assert server.fits(other) == fits, name
    assert not ForkServer().fits(program), "nothing was started"


def test_a_forked_process_dies_with_the_one_that_started_it(program: Program, job_server: ForkServer) -> None:
    server = ForkServer()
    server.start()
    waiting = Program(module=program.module, arguments=(program.arguments[0], "wait"), environment=program.environment)
    running = start(waiting, server, reads_output=True)
    process = psutil.Process(running.process.pid)
    assert process.is_running()
    os.close(running.lifeline)  # as the system does when this process dies
    assert running.process.wait() == -9
    assert running.output is not None
    running.output.close()


def test_a_server_that_is_gone_is_one_error(program: Program, tmp_path: Path) -> None:
    server = ForkServer()
    server._socket, server._environment = str(tmp_path / "socket"), dict(program.environment)
    with pytest.raises(UserError, match=r"is gone .* give the same command again: finished runs are kept"):
        server.fork(program, (0, 1, 2))


@pytest.fixture
def quiet_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server in this process, as if it had one thread."""
    (tmp_path / "tasks/1").mkdir(parents=True)
    monkeypatch.setattr(fork_server, "THREADS_OF_THIS_PROCESS", tmp_path / "tasks")
    with socket.socket(socket.AF_UNIX) as listener:
        server = Server(listener, lambda: 0)
        yield server
        os.close(server.wakeup)
        os.close(server._signalled)


def test_what_must_hold_before_a_fork(quiet_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quiet_server._check_fit_to_fork()
    with monkeypatch.context() as patched:
        patched.setattr(user_code, "loaded", lambda: {"mine"})
        with pytest.raises(RuntimeError, match="has loaded code of the user's: mine"):
            quiet_server._check_fit_to_fork()
    quiet_server.count_cuda_calls = lambda: 1
    with pytest.raises(RuntimeError, match="has asked CUDA for something"):
        quiet_server._check_fit_to_fork()
    (tmp_path / "tasks/2").mkdir()
    with pytest.raises(RuntimeError, match="has 2 threads, and a fork would copy one of them"):
        quiet_server._check_fit_to_fork()


def test_torch_is_told_a_number_of_threads_only_where_it_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    for number in (None, torch.get_num_threads(), torch.get_num_threads() + 1):
        fork_server._compute_with(number)
    assert told == [torch.get_num_threads() + 1]
