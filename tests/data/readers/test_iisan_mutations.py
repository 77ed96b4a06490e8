"""Whatever a damaged data set holds, reading it gives a catalogue or a DataError, never another exception."""

import io
import random
import zipfile
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from peftrec.data.readers.iisan import IisanFiles
from peftrec.errors import DataError

ITEMS = "".join(f'i{number}\tTitle "{number}" &amp; more\n' for number in range(1, 8)).encode()
USERS = "".join(f"u{user}\t" + " ".join(f"i{1 + (user + step) % 7}" for step in range(6)) + "\n" for user in range(5))
PIECES = [b"\t", b"\n", b"\r", b" ", b"", b"\x00", b"\xff", b'"', b"&#xD800;", "\u2028".encode(), b"i1", b"u1\t", b"."]
ROUNDS = 200


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as images:
        for number, (suffix, method) in enumerate(
            product(("png", "jpeg", "webp"), (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)), start=1
        ):
            content = io.BytesIO()
            Image.new("RGB", (4, 4), (number, 90, 9)).save(content, suffix)
            images.writestr(f"images/i{number}.{suffix}", content.getvalue(), method)
        images.writestr("images/i7.jpg", content.getvalue(), zipfile.ZIP_LZMA)
    return stream.getvalue()


def mutated(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4])):
        start = chance.randrange(len(changed) + 1)
        length = chance.choice([0, 1, 1, 3, 20])
        piece = chance.choice([*PIECES, bytes([chance.randrange(256)]), bytes(changed[:length])])
        changed[start : start + length] = piece
    return bytes(changed if chance.random() < 0.95 else changed[: chance.randrange(len(changed) + 1)])


@pytest.mark.parametrize("target", ["items.tsv", "users.tsv", "images.zip"])
def test_damage_is_a_catalogue_or_a_data_error(target: str, tmp_path: Path) -> None:
    files = {"items.tsv": ITEMS, "users.tsv": USERS.encode(), "images.zip": archive()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    chance = random.Random(target)
    refusals: list[str] = []
    for _ in range(ROUNDS):
        (tmp_path / target).write_bytes(mutated(files[target], chance))
        policy = chance.choice(["error", "drop", "blank"])
        source = IisanFiles(
            root=str(tmp_path),
            images="images.zip",
            missing_images=policy,
            corrupt_images=policy,
            empty_titles=policy,
            short_histories=chance.choice(["error", "drop"]),
            minimum_history=chance.choice([4, 5]),
        )
        try:
            catalogue = source.read(text=True, images=True)
        except DataError as error:
            refusals.append(str(error))
        else:
            assert len(catalogue.interactions) > 0
    assert all(str(tmp_path) in refusal for refusal in refusals)
    assert ROUNDS // 50 < len(refusals) < ROUNDS - ROUNDS // 50
