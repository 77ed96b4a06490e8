"""Files are whole or absent, whatever happens while they are written."""

import os
from pathlib import Path

import pytest

from peftrec.files import partial_name, remove_abandoned, write_atomically, write_stream_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    for content in (b"first", b"second"):
        write_atomically(target, content)
        assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def fail_half_way(stream: object) -> None:
        stream.write(b"ne")  # type: ignore[attr-defined]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_stream_atomically(target, fail_half_way)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_what_killed_processes_left_is_swept_and_the_rest_is_not(tmp_path: Path) -> None:
    gone, alive = 2**22 + 1, os.getppid()
    own = tmp_path / partial_name("file")
    own.touch()
    for process_id in (gone, alive):
        (tmp_path / f".file.{process_id}.partial").touch()
        (tmp_path / f".folder.{process_id}.partial").mkdir()
        (tmp_path / f".folder.{process_id}.partial" / "inside").touch()
    remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f".file.{alive}.partial", f".folder.{alive}.partial"}
