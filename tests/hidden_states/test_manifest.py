"""The manifest is read by people and refused when anyone changed it."""

import json
from pathlib import Path

import numpy as np
import pytest

from peftrec.errors import StoreError
from peftrec.hidden_states.manifest import MANIFEST, read_manifest
from peftrec.hidden_states.verification import manifest_problems
from small_models import WIDTH
from small_stores import key_of


def test_every_key_can_be_read(folder: Path) -> None:
    text = json.loads((folder / MANIFEST).read_text())
    assert text["key"] == key_of().model_dump(mode="json")
    assert text["origins"]["text"] == {"checkpoint": "small text", "revision": None}
    assert text["arrays"]["image"]["shape"] == [23, 3, WIDTH]
    assert text["batch_size"] == 5
    assert text["device"] == "cpu"
    assert set(text["versions"]) == {"peftrec", "torch", "transformers"}
    assert text["build_seconds"] > 0


def test_a_manifest_has_one_form(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert (folder / MANIFEST).read_bytes() == manifest.to_bytes()
    assert not list(manifest_problems(folder, manifest))


def test_any_flipped_bit_is_noticed(folder: Path, tmp_path: Path) -> None:
    content = (folder / MANIFEST).read_bytes()
    random = np.random.default_rng(0)
    for place in [*random.integers(0, len(content), 100).tolist(), content.index(b"build_seconds") + 18]:
        changed = bytearray(content)
        changed[place] ^= 1 << int(random.integers(0, 8))
        (tmp_path / MANIFEST).write_bytes(changed)
        try:
            problems = list(manifest_problems(tmp_path, read_manifest(tmp_path)))
        except StoreError as error:
            problems = [str(error)]
        assert len(problems) == 1, place
        assert f"delete {tmp_path} and it is built again" in problems[0]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "missing"),
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"[]", "malformed"),
        (b'{"key": {"format_version": 5}}', "malformed"),
        (b'{"key": {"format_version": 1}}', "written by another version of peftrec"),
        (b"\xff\xfe", "malformed"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, found: str) -> None:
    if content is not None:
        (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(StoreError, match=found) as caught:
        read_manifest(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / MANIFEST))
    assert f"delete {tmp_path}" in str(caught.value)


def test_a_manifest_with_a_key_too_many_is_malformed(folder: Path, tmp_path: Path) -> None:
    text = json.loads((folder / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(text | {"extra": 1}))
    with pytest.raises(StoreError, match="malformed"):
        read_manifest(tmp_path)


def test_a_manifest_that_was_laid_out_anew_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(json.loads((folder / MANIFEST).read_text())))
    (problem,) = manifest_problems(tmp_path, read_manifest(tmp_path))
    assert "checksum differs" in problem
