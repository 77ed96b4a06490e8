"""A checkpoint is whole and a run's, or it is one error that names the file and what to do."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from peftrec.errors import CheckpointError
from peftrec.training.checkpoint import epochs_to_train, load_best, read_checkpoint

WHOLE = {
    "epoch": 2,
    "state_dict": {"a": torch.arange(600.0), "b": torch.ones(3)},
    "callbacks": {"EarlyStopping{}": {"wait_count": 0, "patience": 5}},
}


def saved(path: Path, **changes: object) -> Path:
    torch.save({**WHOLE, **changes}, path)
    return path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "no whole checkpoint"),
    "truncated": (truncate, "no whole checkpoint"),
    "text": (lambda path: path.write_text("not a checkpoint"), "no whole checkpoint"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(print)), "no whole checkpoint"),
    "a folder": (make_folder, "a folder"),
    "a tensor": (lambda path: torch.save(torch.ones(2), path), "holds a Tensor"),
    "no weights": (lambda path: torch.save({"epoch": 1}, path), "holds no state_dict"),
    "no epoch": (lambda path: torch.save({"state_dict": {}}, path), "holds no epoch"),
    "an object": (lambda path: torch.save({"epoch": 1, "state_dict": {}, "x": Path("a")}, path), "no whole checkpoint"),
    "a weight that is none": (lambda path: saved(path, state_dict={"a": 1}), "a is a int and no tensor"),
    "NaN": (lambda path: saved(path, state_dict={"a": torch.tensor([1.0, torch.nan])}), "a holds numbers that are not"),
    "infinity": (lambda path: saved(path, state_dict={"a": torch.tensor([torch.inf])}), "a holds numbers that are not"),
}


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize(
    ("name", "remedy"), [("best", "remove the folder {0}"), ("last", "remove {0}/checkpoints/last")]
)
def test_what_is_no_checkpoint_is_one_error(kind: str, name: str, remedy: str, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    path = saved(tmp_path / "checkpoints" / f"{name}.ckpt")
    spoil, message = SPOILT[kind]
    spoil(path)
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert remedy.format(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_best_checkpoint_that_is_gone_is_trained_anew_in_an_empty_place(tmp_path: Path) -> None:
    """The command of a finished run trains nothing while its record is there."""
    with pytest.raises(CheckpointError) as caught:
        load_best(torch.nn.Linear(1, 1), tmp_path)
    remedy = f"remove the folder {tmp_path} and give the command of the run again: it then trains anew"
    assert str(caught.value) == f"{tmp_path}/checkpoints/best.ckpt: missing; {remedy}"


def test_no_byte_of_the_weights_can_change_unseen(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt")
    content = path.read_bytes()
    start = content.index(torch.arange(600.0).numpy().tobytes())
    for place in range(start, start + 2400, 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(CheckpointError, match="damaged: the checksum of"):
            read_checkpoint(path)


def test_every_byte_is_either_checked_or_does_not_matter(tmp_path: Path) -> None:
    """Of a flipped byte anywhere, the file is refused, or what is read is the same."""
    path = saved(tmp_path / "last.ckpt")
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 41):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            found = read_checkpoint(path)
        except CheckpointError:
            refused += 1
            continue
        assert found["epoch"] == WHOLE["epoch"]
        for name, tensor in WHOLE["state_dict"].items():
            assert torch.equal(found["state_dict"][name], tensor)
    assert refused > len(range(0, len(content), 41)) / 3


def test_going_on_needs_what_training_left(tmp_path: Path) -> None:
    assert epochs_to_train(saved(tmp_path / "last.ckpt"), 7) == 7
    for callbacks in ({}, None, {"EarlyStopping{}": {}}, {"EarlyStopping{}": 1}):
        with pytest.raises(CheckpointError, match=r"nothing to go on from; remove .*last"):
            epochs_to_train(saved(tmp_path / "last.ckpt", callbacks=callbacks), 7)
