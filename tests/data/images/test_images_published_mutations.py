"""Whatever a value of IISAN's LMDB holds, it is an image or one of two errors: nothing is run, hung or filled up."""

import copyreg
import io
import os
import pickle
import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from peftrec.data.images.decoding import CorruptImageError
from peftrec.data.images.opening import open_images
from peftrec.data.images.published import MOST_INSTRUCTIONS, PublishedImages
from peftrec.errors import DataError
from small_images import published_value, write_published

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
GOOD = {protocol: published_value(PIXELS, "B00A", protocol) for protocol in (3, 4)}
REGISTERED = ("posix", "system")
PIECES = [bytes([instruction]) for instruction in b".()}RbsuN\x81\x86\x93\x94"]
PIECES += [b"", b"q\x00", b"h\x00", b"cm\nLMDB_Image\n", b"cos\nsystem\n"]
PIECES += [b"\x95" + bytes(8), b"S'\\q'\n", b"\x82\x01", b"r\xff\xff\xff\xff"]
ROUNDS = 2000


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> PublishedImages:
    """The reader of a whole file, whose `decode` is then given other values."""
    path = write_published(tmp_path_factory.mktemp("published") / "am_is.lmdb", {"B00A": PIXELS})
    opened = open_images(path, None, key="data.images")
    assert isinstance(opened, PublishedImages)
    return opened


class Command:
    """Pickles to `os.system(command)`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_command_leaves_no_trace(images: PublishedImages, tmp_path: Path, protocol: int) -> None:
    value = pickle.dumps(Command(f"touch {tmp_path / 'ran'}"), protocol)
    with pytest.raises(DataError, match=r"B00A: .* asks for 'posix\.system'; nothing of it was run"):
        images.decode(value, "B00A")
    assert not (tmp_path / "ran").exists()
    pickle.loads(value)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("instruction", [b"\x82\x07", b"\x83\x07\x00", b"\x84\x07\x00\x00\x00"])
def test_registered_extensions_are_refused(images: PublishedImages, instruction: bytes) -> None:
    copyreg.add_extension(*REGISTERED, 7)
    try:
        assert pickle.loads(b"\x80\x02" + instruction + b".") is os.system
        with pytest.raises(DataError, match=r"B00A: .* holds the instruction EXT\d; nothing of it was run"):
            images.decode(b"\x80\x02" + instruction + b".", "B00A")
    finally:
        copyreg.remove_extension(*REGISTERED, 7)


def test_a_frame_hides_no_instruction(images: PublishedImages) -> None:
    """The unpickler leaves this frame within the string's length and reads the string as instructions."""
    hidden = b"\0\0cos\ngetpid\n)R."
    value = b"\x80\x04\x95" + struct.pack("<Q", 3) + b"B" + struct.pack("<I", len(hidden)) + hidden + b"."
    assert pickle.Unpickler(io.BytesIO(value)).load() == os.getpid()
    with pytest.raises(CorruptImageError, match=r"B00A: .* it is no object"):
        images.decode(value, "B00A")


@pytest.mark.parametrize(
    "value",
    [
        b"\x80\x04Nr" + struct.pack("<I", 2**22) + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**26) + b"abc.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**26) + b"abc.",
        b"\x80\x04\x8b" + struct.pack("<I", 2**26) + b"abc.",
    ],
    ids=["memo", "bytes", "frame", "number"],
)
def test_a_few_bytes_take_no_memory(images: PublishedImages, value: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="B00A: "):
            images.decode(value, "B00A")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("step", [b"K\x01\x86", b"q\x00h\x00\x86"], ids=["deep", "doubled"])
def test_no_tuple_is_nested_until_hashing_it_breaks_or_hangs(images: PublishedImages, step: bytes) -> None:
    value = b"\x80\x04})" + step * 22 * (1 + len(step) % 2) + b"K\x01s."
    with pytest.raises(DataError, match=f"B00A: .* takes more than {MOST_INSTRUCTIONS} instructions"):
        images.decode(value, "B00A")


def test_a_field_named_after_the_state_was_set_is_no_name(images: PublishedImages) -> None:
    """The object is remembered as 0, its fields as 1, which get a number for a name; then the object is recalled."""
    value = b"\x80\x04cm\nLMDB_Image\n)\x81q\x00}q\x01bh\x01K\x01K\x02sh\x00."
    with pytest.raises(CorruptImageError, match=r"B00A: .* no object with named fields"):
        images.decode(value, "B00A")


@pytest.mark.parametrize("protocol", GOOD)
def test_a_value_cut_anywhere_is_corrupt(images: PublishedImages, protocol: int) -> None:
    for end in range(len(GOOD[protocol])):
        with pytest.raises(CorruptImageError, match=r"am_is\.lmdb:B00A: the pickled image is damaged"):
            images.decode(GOOD[protocol][:end], "B00A")


def mutated(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4])):
        start = chance.randrange(len(changed) + 1)
        piece = chance.choice([*PIECES, bytes([chance.randrange(256)]), bytes(changed[:9])])
        changed[start : start + chance.choice([0, 1, 1, 3, 20])] = piece
    return bytes(changed)


@pytest.mark.parametrize("protocol", GOOD)
def test_damage_is_an_image_or_one_of_two_errors(images: PublishedImages, protocol: int) -> None:
    chance = random.Random(protocol)
    messages: list[str] = []
    outcomes = {"image": 0, "CorruptImageError": 0, "DataError": 0}
    for _ in range(ROUNDS):
        value = mutated(GOOD[protocol], chance)
        try:
            images.decode(value, "B00A")
        except DataError as error:
            messages.append(str(error))
            outcomes[type(error).__name__] += 1
        else:
            outcomes["image"] += 1
    assert all("am_is.lmdb:B00A: " in message for message in messages)
    assert min(outcomes.values()) > ROUNDS // 50, outcomes
