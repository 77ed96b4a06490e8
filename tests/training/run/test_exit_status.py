"""What other libraries make of an error is undone: a full disk stays one, and a worker's words stay its own."""

import errno
import io

import pytest
import torch
from torch._utils import ExceptionWrapper

from peftrec.errors import DataError
from peftrec.training.run.exit_status import interruption


class FullDisk(io.BytesIO):
    """Has room for the first kilobyte."""

    def write(self, content: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(content) > 1024:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


def test_a_disk_that_fills_while_torch_writes_a_checkpoint_is_a_full_disk() -> None:
    """torch writes on, into a file that is shorter than it thinks, and fails at that."""
    checkpoint = {"state_dict": {"weight": torch.zeros(10_000)}}
    with pytest.raises(RuntimeError, match="unexpected pos"):
        torch.save(checkpoint, FullDisk())
    with pytest.raises(OSError, match="No space left on device") as caught, interruption():
        torch.save(checkpoint, FullDisk())
    assert caught.value.errno == errno.ENOSPC


def test_a_mistake_that_a_worker_finds_is_said_in_its_own_words() -> None:
    """torch puts the whole traceback before them."""
    try:
        raise DataError("pictures/a.jpg: gone; ValueError: no\nsecond line")
    except DataError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 3")  # type: ignore[no-untyped-call]
    with pytest.raises(DataError, match=r"Traceback \(most recent call last\)"):
        wrapped.reraise()  # type: ignore[no-untyped-call]
    with pytest.raises(DataError) as caught, interruption():
        wrapped.reraise()  # type: ignore[no-untyped-call]
    assert str(caught.value) == "pictures/a.jpg: gone; ValueError: no\nsecond line"


def test_other_errors_pass() -> None:
    for error in (DataError("Caught nothing"), RuntimeError("unexpected pos"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, interruption():
            raise error
        assert caught.value is error
