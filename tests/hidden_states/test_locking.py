"""One holder at a time; the others wait, say for whom, and come after it."""

import errno
import fcntl
import json
import os
import threading
import time
from pathlib import Path

import pytest

from peftrec.errors import StoreError
from peftrec.hidden_states.locking import builder_lock, describe_holder, is_locked


def test_the_lock_says_who_holds_it_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.lock"
    assert not is_locked(path)
    with builder_lock(path, tmp_path / "store"):
        assert is_locked(path)
        assert f"process {os.getpid()} on {os.uname().nodename}, since 20" in describe_holder(path)
    assert not list(tmp_path.iterdir())


def test_a_lock_file_of_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.lock"
    path.write_text(json.dumps({"process_id": 1, "host": "gone", "since": "2000-01-01"}))
    assert not is_locked(path)
    with builder_lock(path, tmp_path / "store"):
        assert "gone" not in describe_holder(path)


def test_a_file_system_without_locks_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "store.lock"
    expected = r"store\.lock: .* no locks .*hidden_states\.directory=DIR"
    with pytest.raises(StoreError, match=expected), builder_lock(path, tmp_path / "store"):
        pass
    with pytest.raises(StoreError, match="no locks"):
        is_locked(path)


@pytest.mark.parametrize("content", ["", "{", "{}", "7"])
def test_a_holder_that_has_not_written_its_name_is_another_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "store.lock").write_text(content)
    assert describe_holder(tmp_path / "store.lock") == "another process"


def test_many_who_want_it_have_it_one_after_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each removes the file that others wait for; none of them may end up holding a removed one beside another."""
    path = tmp_path / "store.lock"
    inside: list[int] = []
    most = []

    def take(number: int) -> None:
        for _ in range(20):
            with builder_lock(path, tmp_path / "store"):
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.001)
                inside.remove(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80
    assert max(most) == 1
    assert not path.exists()
    waiting = capsys.readouterr().err.splitlines()
    assert waiting
    assert all(line.startswith("waiting for ") and line.endswith(f"which builds {tmp_path}/store") for line in waiting)
