"""Files are whole or absent, whatever happens while they are written."""

import os
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import pytest

from peftrec import files
from peftrec.files import (
    content_hash,
    folder_written_beside,
    names_below,
    partial_name,
    remove_abandoned,
    try_writing,
    write_atomically,
    write_stream_atomically,
)
from peftrec.processes import owner


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
    others = {".copy.tool.partial", f".file.0123abcd-{gone}.partial"}  # another program's, another machine's
    for name in others:
        (tmp_path / name).touch()
    remove_abandoned(tmp_path)
    left = {f".file.{alive}.partial", f".folder.{alive}.partial", *others}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_the_first_file_that_is_written_to_a_folder_sweeps_it_and_the_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peftrec.files._SWEPT", set())
    left = tmp_path / f".table.csv.{owner().rpartition('-')[0]}-{2**22 + 1}.partial"
    for content, is_left in ((b"first", False), (b"second", True)):
        left.touch()
        write_atomically(tmp_path / "file", content)
        assert left.exists() == is_left
        assert (tmp_path / "file").read_bytes() == content


def test_what_lies_below_is_named_once_and_hidden_folders_are_not_entered(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for name in ("b/x", "a", "b/.hidden/y", "c/d/z"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    elsewhere.mkdir()
    (elsewhere / "there").touch()
    for link, target in (("A", "c"), ("again", elsewhere), ("once", elsewhere), ("up", ".."), ("self", "self")):
        (root / link).symlink_to(target)
    (root / "gone").symlink_to("nowhere")
    (root / "file").symlink_to("a")
    assert list(names_below(root)) == ["a", "file", "b/x", "c/d/z", "again/there"]


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


def test_a_folder_that_a_killed_process_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peftrec.files._SWEPT", set())
    (tmp_path / f".folder.{2**22 + 1}.partial").mkdir()
    with folder_written_beside(tmp_path / "folder"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_is_tried_by_writing_and_nothing_stays(tmp_path: Path) -> None:
    try_writing(tmp_path / "new" / "folder")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "folder"]
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        try_writing(tmp_path / "file" / "folder")
    assert caught.value.filename == str(tmp_path / "file" / "folder")


def test_a_file_is_hashed_once_as_long_as_it_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, reads = tmp_path / "weights", list[Path]()
    digest = files.file_digest

    def counted(stream: BinaryIO, name: str) -> object:
        reads.append(Path(stream.name))
        return digest(stream, name)

    monkeypatch.setattr(files, "file_digest", counted)
    file.write_bytes(b"one")
    assert [content_hash(file) for _ in range(2)] == [sha256(b"one").digest()] * 2
    assert len(reads) == 2, "it was written a moment ago, and may be written again at the same tick of the clock"
    monkeypatch.setattr(files, "_SECONDS_TO_SETTLE", -1)
    assert [content_hash(file) for _ in range(2)] == [sha256(b"one").digest()] * 2
    assert len(reads) == 3
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # the time of the last change says that it was written
    assert content_hash(file) == sha256(b"two").digest()
    (tmp_path / "other").write_bytes(b"six")
    (tmp_path / "other").replace(file)
    assert content_hash(file) == sha256(b"six").digest()
    assert len(reads) == 5
