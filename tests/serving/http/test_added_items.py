"""What was added is there after a restart, for the weights that encoded it, and damage is one message."""

from pathlib import Path

import numpy as np
import pytest

from peftrec.errors import DataError, SettingsError
from peftrec.serving.http.added_items import AddedItems

IDS, TITLES = ("a", "=b", "ü\n"), ("red lamp", "", "\x1b[31m")
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def added(tmp_path: Path) -> AddedItems:
    (tmp_path / "best.ckpt").write_bytes(b"weights")
    return AddedItems.beside(tmp_path / "kept", "lora-1", tmp_path / "best.ckpt")


def test_what_is_written_is_read(added: AddedItems) -> None:
    ids, titles, vectors = added.read(dim=4, known=())
    assert (ids, titles, vectors.shape) == ((), (), (0, 4))
    added.write(IDS, TITLES, VECTORS)
    ids, titles, vectors = added.read(dim=4, known=("c",))
    assert (ids, titles) == (IDS, TITLES)
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, VECTORS)
    assert added.file is not None
    assert sorted(file.name for file in added.file.parent.iterdir()) == [".lora-1.lock", "lora-1.parquet"]
    added.release()
    assert [file.name for file in added.file.parent.iterdir()] == ["lora-1.parquet"]


def test_a_second_service_is_refused(added: AddedItems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peftrec.files.Holding.acquire", lambda _: False)  # locks are those of a process
    with pytest.raises(SettingsError, match="another service keeps items of lora-1 there"):
        AddedItems.beside(tmp_path / "kept", "lora-1", tmp_path / "best.ckpt")


def test_a_folder_that_cannot_be_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"keep=.*file/in: no file can be kept there \(.*\); name a folder"):
        AddedItems.beside(tmp_path / "file" / "in", "lora-1", tmp_path / "best.ckpt")


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    added = AddedItems.beside(None, "lora-1", tmp_path / "nowhere")
    added.write(IDS, TITLES, VECTORS)
    assert added.read(dim=4, known=())[0] == ()
    assert not list(tmp_path.iterdir())


def test_other_weights_are_told(added: AddedItems, tmp_path: Path) -> None:
    added.write(IDS, TITLES, VECTORS)
    (tmp_path / "best.ckpt").write_bytes(b"others")
    again = AddedItems.beside(tmp_path / "kept", "lora-1", tmp_path / "best.ckpt")
    with pytest.raises(DataError, match=r"lora-1\.parquet: its items were encoded by other weights .*keep=DIR"):
        again.read(dim=4, known=())


def test_damage_is_one_message(added: AddedItems) -> None:
    added.write(IDS, TITLES, VECTORS)
    with pytest.raises(DataError, match=r"items that the run knows .*keep=DIR"):
        added.read(dim=4, known=("=b",))
    with pytest.raises(
        DataError, match=r"lora-1\.parquet: its vectors have 4 numbers and this service's 5, .*keep=DIR"
    ):
        added.read(dim=5, known=())
    assert added.file is not None
    added.file.write_bytes(added.file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"lora-1\.parquet: holds no added items .*keep=DIR"):
        added.read(dim=4, known=())
    added.write(IDS, TITLES, VECTORS)
    content, number = added.file.read_bytes(), VECTORS[1, 1].tobytes()
    assert number in content
    added.file.write_bytes(content.replace(number, np.float32(2e38).tobytes()))  # which Parquet reads as it stands
    with pytest.raises(DataError, match=r"the checksum differs\); .*keep=DIR"):
        added.read(dim=4, known=())
    added.write(IDS, TITLES, np.full_like(VECTORS, np.nan))
    with pytest.raises(DataError, match=r"not finite; .*keep=DIR"):
        added.read(dim=4, known=())
