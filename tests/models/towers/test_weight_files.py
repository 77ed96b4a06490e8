"""Safetensors files and their index: what is broken is named, and nothing outside of the folder is read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from peftrec.errors import SettingsError
from peftrec.models.towers.weight_files import INDEX, WHOLE
from small_families import Saved, save_checkpoint


@pytest.fixture
def sharded(tmp_path: Path) -> Saved:
    saved = save_checkpoint(tmp_path / "bert", "bert")
    (saved.folder / WHOLE).unlink()
    saved.reference.save_pretrained(saved.folder, max_shard_size="40KB")
    return saved


def read(saved: Saved) -> str:
    """Return what loading says, which hashing says too."""
    messages = set()
    for ask in (lambda: saved.settings().load("text", seed=0), lambda: saved.settings().weights_hash("text", seed=0)):
        with pytest.raises(SettingsError) as caught:
            ask()
        messages.add(str(caught.value))
    (message,) = messages
    assert message.startswith("towers.text.checkpoint: ")
    return message.replace(str(saved.folder), "BERT")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"{}", b'{"weight_map": []}', b'{"weight_map": null}', b"\xff", b"[" * 99_999]
)
def test_a_broken_index_is_named(sharded: Saved, content: bytes) -> None:
    (sharded.folder / INDEX).write_bytes(content)
    assert f"BERT/{INDEX}: lists no weights" in read(sharded)


def test_an_index_that_transformers_cannot_read_is_one_line(sharded: Saved) -> None:
    file = sharded.folder / INDEX
    file.write_text(json.dumps({"weight_map": json.loads(file.read_text())["weight_map"]}))
    with pytest.raises(
        SettingsError, match=r"^towers\.text\.checkpoint: cannot read the weights in .*: KeyError 'metadata'"
    ):
        sharded.settings().load("text", seed=0)


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "..", "", 3, None, ["a"], "a/b.safetensors"])
def test_no_shard_lies_outside_of_the_folder(sharded: Saved, name: object) -> None:
    file = sharded.folder / INDEX
    index = json.loads(file.read_text())
    index["weight_map"]["embeddings.word_embeddings.weight"] = name
    file.write_text(json.dumps(index))
    assert f"BERT/{INDEX}: lists" in read(sharded)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def in_its_place(content: bytes) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(content) and None


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (Path.unlink, ": missing; copy it there again"),
        (cut, ": no whole safetensors file (.*); copy it there again"),
        (in_its_place(b""), ": no whole safetensors file"),
        (in_its_place(b"version https://git-lfs.github.com/spec/v1\noid"), ": a pointer of Git LFS .*`git lfs pull`"),
        (in_its_place(b"<!doctype html>"), ": a web page in place of the file"),
    ],
)
def test_a_shard_that_is_not_whole_is_named(sharded: Saved, spoil: Callable[[Path], None], expected: str) -> None:
    shard = sorted(sharded.folder.glob("model-*.safetensors"))[1]
    spoil(shard)
    message = read(sharded)
    assert f"BERT/{shard.name}: " in message
    assert expected.partition("(")[0].partition(".*")[0] in message


def test_whole_shards_are_the_weights(sharded: Saved) -> None:
    tower = sharded.load()
    assert all(
        tensor.equal(sharded.reference.state_dict()[name]) for name, tensor in tower.encoder.state_dict().items()
    )
