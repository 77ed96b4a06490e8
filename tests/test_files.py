"""Files are whole or absent, whatever happens while they are written."""

import os
from pathlib import Path

import pytest

from peftrec.files import (
    folder_written_beside,
    partial_name,
    remove_abandoned,
    write_atomically,
    write_stream_atomically,
)


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
    (tmp_path / ".copy.tool.partial").touch()  # another program's
    remove_abandoned(tmp_path)
    left = {f".file.{alive}.partial", f".folder.{alive}.partial", ".copy.tool.partial"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_a_folder_appears_whole_and_replaces_another(tmp_path: Path) -> None:
    place = tmp_path / "new" / "folder"
    for name in ("first", "second"):
        with folder_written_beside(place) as beside:
            (beside / "inner").mkdir()
            (beside / "inner" / name).write_text(name)
            assert [file.name for file in place.rglob("*") if file.is_file()] == (["first"] if name == "second" else [])
        assert [file.name for file in place.rglob("*") if file.is_file()] == [name]
    assert [path.name for path in place.parent.iterdir()] == ["folder"]


def test_a_failure_while_filling_a_folder_leaves_the_old_one(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    with folder_written_beside(place) as beside:
        (beside / "old").touch()

    def fail_half_way() -> None:
        with folder_written_beside(place) as beside:
            (beside / "new").touch()
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]


def test_a_folder_that_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / f".folder.{2**22 + 1}.partial").mkdir()
    with folder_written_beside(tmp_path / "folder"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
