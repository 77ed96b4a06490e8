"""One holder a run: two processes that begin it together, a clock that steps, holders that died."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from peftrec.errors import UserError
from peftrec.files import Holding
from peftrec.processes import ALONE
from peftrec.results import process
from peftrec.results.process import birth_of, is_alive, this_process
from peftrec.training.run import beginning
from peftrec.training.run.beginning import held

HOLD = """
import sys
from pathlib import Path
from peftrec.files import Holding

print(Holding(Path(sys.argv[1])).acquire(), flush=True)
sys.stdin.read()
"""


def holder(lock: Path) -> "subprocess.Popen[str]":
    started = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "True\n"
    return started


def test_one_process_holds_a_lock_until_it_dies(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "lock"
    with holder(lock) as other:
        assert not Holding(lock).acquire()
        other.send_signal(signal.SIGKILL)
        other.wait()
        own = Holding(lock)
        assert own.acquire()
    own.release()
    assert not lock.exists()


def test_what_a_holder_forks_does_not_hold(tmp_path: Path) -> None:
    own = Holding(tmp_path / "lock")
    assert own.acquire()
    child = os.fork()
    if child == 0:
        os._exit(int(Holding(tmp_path / "lock").acquire()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    own.release()


def test_a_second_process_is_refused_before_there_is_a_record(tmp_path: Path) -> None:
    run = tmp_path / "id-0123"
    with (
        holder(tmp_path / ".id-0123.lock") as other,
        pytest.raises(UserError, match="id-0123: another process runs this already"),
        held(run, ALONE),
    ):
        pass
    assert other.stdin is not None
    other.stdin.close()
    other.wait()
    with held(run, ALONE):
        assert (tmp_path / ".id-0123.lock").exists()
    assert not list(tmp_path.iterdir())


def test_a_finished_run_needs_no_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Finished:
        is_over = True

    monkeypatch.setattr(beginning, "earlier_record", lambda folder: Finished())
    with holder(tmp_path / ".id-0123.lock") as other, held(tmp_path / "id-0123", ALONE):
        other.kill()


@pytest.mark.skipif(birth_of(os.getpid()) is None, reason="the system does not say when a process was born")
def test_a_clock_that_steps_makes_no_process_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    own = this_process()
    stepped = own.model_copy(update={"started_at": datetime(2001, 1, 1, tzinfo=UTC).isoformat()})
    assert is_alive(stepped)
    reused = own.model_copy(update={"birth": f"{own.birth}0"})
    assert not is_alive(reused), "another process with the id of a former one"
    monkeypatch.setattr(process, "birth_of", lambda _: None)
    assert is_alive(own)
    assert not is_alive(stepped)
