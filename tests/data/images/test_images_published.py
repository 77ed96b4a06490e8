"""The LMDB that IISAN's script writes: its pixels bit for bit, and no code run, whatever a value holds."""

import builtins
import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peftrec.data.images import published
from peftrec.data.images.checking import find_corrupt
from peftrec.data.images.decoding import CorruptImageError
from peftrec.data.images.opening import open_images
from peftrec.data.images.published import PublishedImages, read_fields
from peftrec.data.images.stored import StoredImages
from peftrec.errors import DataError
from small_images import published_value, replace_value, write_published

PICTURES = {
    item_id: np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    for seed, (item_id, shape) in enumerate([("B00A", (5, 7, 3)), ("B00B", (300, 2, 3)), ("B00C", (1, 1, 3))])
}
PIXELS = PICTURES["B00A"]


def opened(path: Path, ids: tuple[str, ...] | None = None) -> StoredImages:
    return open_images(path, ids, key="data.images")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> PublishedImages:
    """The reader of a whole file, whose `decode` is then given other values."""
    images = opened(write_published(tmp_path_factory.mktemp("published") / "am_is.lmdb", PICTURES))
    assert isinstance(images, PublishedImages)
    return images


def value_at(tmp_path: Path, value: bytes) -> StoredImages:
    """Open a file that holds the value."""
    path = write_published(tmp_path / "am_is.lmdb", PICTURES)
    replace_value(path, "B00A", value)
    return opened(path)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pixels_are_read_bit_for_bit(tmp_path: Path, protocol: int) -> None:
    images = opened(write_published(tmp_path / "am_is.lmdb", PICTURES, protocol))
    assert images.names == tuple(PICTURES)
    for item, pixels in enumerate(PICTURES.values()):
        image = images.load(item)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), pixels)
    assert find_corrupt(images, range(3)) == {}


def test_items_are_found_by_id_and_bookkeeping_is_no_image(tmp_path: Path) -> None:
    path = write_published(tmp_path / "am_is.lmdb", PICTURES)
    assert opened(path, ("B00C", "B00X", "__keys__", "__len__")).names == ("B00C", None, None, None)


def test_the_fingerprint_follows_pixels(tmp_path: Path) -> None:
    path = write_published(tmp_path / "am_is.lmdb", PICTURES)
    before = opened(path).fingerprint()
    assert opened(path).fingerprint() == before
    replace_value(path, "B00A", published_value(PIXELS ^ 1, "B00A"))
    assert opened(path).fingerprint() != before


class Calls:
    """Pickles to a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


class Persistent(pickle.Pickler):
    def persistent_id(self, obj: object) -> str | None:
        return "evil" if obj is PIXELS else None


def persistent() -> bytes:
    stream = io.BytesIO()
    Persistent(stream).dump(PIXELS)
    return stream.getvalue()


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def image_object(fields: bytes) -> bytes:
    """Write by hand an object of the class, then what is to be its state."""
    return b"\x80\x04" + short("__main__") + short("LMDB_Image") + b"\x93)\x81" + fields


CANARY = "peftrec_canary"
EVIL = "__import__('os').environ.__setitem__('peftrec_canary', 'ran')"

MALICIOUS = {
    "system": (pickle.dumps(Calls(os.system, f"export {CANARY}=1; exit 3")), "asks for 'posix.system'"),
    "eval": (pickle.dumps(Calls(eval, EVIL)), "asks for 'builtins.eval'"),
    "exec in protocol 0": (f"c__builtin__\nexec\n(S{EVIL!r}\ntR.".encode(), "asks for '__builtin__.exec'"),
    "nested": (pickle.dumps({"image": [Calls(eval, EVIL)]}), "the instruction EMPTY_LIST"),
    "nested in the object": (
        image_object(b"}" + short("image") + b"cbuiltins\neval\n(" + short(EVIL) + b"tRsb."),
        "asks for 'builtins.eval'",
    ),
    "a call of the class itself": (b"\x80\x04" + short("m") + short("LMDB_Image") + b"\x93)R.", "instruction REDUCE"),
    "INST": (b"(S'" + EVIL.encode() + b"'\nibuiltins\neval\n.", "instruction STRING"),
    "INST alone": (b"(ibuiltins\neval\n.", "instruction INST"),
    "OBJ": (b"(cm\nLMDB_Image\no.", "instruction OBJ"),
    "NEWOBJ_EX": (b"\x80\x04cm\nLMDB_Image\n)}\x92.", "instruction NEWOBJ_EX"),
    "persistent id": (persistent(), "instruction BINPERSID"),
    "persistent id in text": (b"Pevil\n.", "instruction PERSID"),
    "extension": (b"\x80\x02\x82\x01.", "instruction EXT1"),
    "out-of-band buffer": (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
    "numpy": (pickle.dumps(PIXELS), "asks for 'numpy"),
    "attribute of a module": (b"\x80\x04" + short("os") + short("system") + b"\x93.", "asks for 'os.system'"),
    "dotted class": (b"\x80\x04" + short("os") + short("LMDB_Image.system") + b"\x93.", "asks for 'os.LMDB_Image.sys"),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_no_other_program_is_run(images: PublishedImages, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, expected = MALICIOUS[name]
    ran: list[str] = []
    monkeypatch.setattr(os, "system", ran.append)
    monkeypatch.setattr(builtins, "eval", ran.append)
    with pytest.raises(DataError) as caught:
        images.decode(value, "B00A")
    monkeypatch.undo()
    assert not isinstance(caught.value, CorruptImageError)
    found = str(caught.value)
    assert found.startswith(f"{images.place()}:B00A: the value is no image as IISAN's build_lmdb.py writes it")
    assert expected in found
    assert found.endswith("nothing of it was run")
    assert not ran
    assert CANARY not in os.environ


def test_a_program_is_no_corrupt_image_that_a_policy_could_pass_over(tmp_path: Path) -> None:
    images = value_at(tmp_path, MALICIOUS["system"][0])
    with pytest.raises(DataError, match="nothing of it was run"):
        find_corrupt(images, range(3))


GOOD = published_value(PIXELS, "B00A")
DAMAGED = {
    "empty": b"",
    "cut": GOOD[:-40],
    "only a stop": b".",
    "a class": b"cm\nLMDB_Image\n.",
    "a dict": b"}.",
    "state on a class": b"cm\nLMDB_Image\n}b.",
    "no state": image_object(b"."),
    "state that is no dict": image_object(b"K\x01b."),
    "state of two parts, as slots have": image_object(b"}}\x86b."),
    "fields without names": image_object(b"}(K\x01K\x02ub."),
    "a field without a value": image_object(b"}(" + short("image") + b"ub."),
    "unhashable name": image_object(b"}(}K\x02ub."),
    "fields into a number": image_object(b"K\x01" + short("image") + b"K\x02sb."),
    "an object of arguments": b"cm\nLMDB_Image\nK\x01K\x02\x86\x81.",
    "an object of a number": b"K\x01)\x81.",
    "no mark": image_object(b"}ub."),
    "an empty stack": b"\x80\x04\x86.",
    "an unknown name": b"h\x07.",
    "two values": b"K\x01K\x02.",
    "no stop": b"K\x01",
    "no instruction": b"\xff\xff\xff",
    "a frame longer than the value": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b".",
    "a string of 4 exabytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.",
    "a memo of 4 billion entries": b"\x80\x04Nr" + struct.pack("<I", 2**32 - 1) + b".",
    "a class named by a number": b"\x80\x04K\x01" + short("LMDB_Image") + b"\x93.",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_a_corrupt_image_or_refused_with_its_key(images: PublishedImages, name: str) -> None:
    with pytest.raises(DataError, match=r"am_is\.lmdb:B00A: "):
        images.decode(DAMAGED[name], "B00A")


@pytest.mark.parametrize("name", ["empty", "cut", "no state", "no stop", "a string of 4 exabytes"])
def test_policies_see_broken_values(tmp_path: Path, name: str) -> None:
    assert list(find_corrupt(value_at(tmp_path, DAMAGED[name]), range(3))) == [0]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"channels": 3, "size": (5, 8), "image": PIXELS.tobytes()}, "105 bytes for 5 x 8 pixels of 3 channels"),
        ({"channels": 4, "size": (5, 7), "image": PIXELS.tobytes()}, "105 bytes for 5 x 7 pixels of 4 channels"),
        ({"channels": 3, "size": (-5, -7), "image": PIXELS.tobytes()}, "105 bytes for -5 x -7 pixels"),
        ({"channels": 3, "size": (0, 9), "image": b""}, "0 bytes for 0 x 9 pixels"),
        ({"channels": 3, "size": (2**200, 7), "image": b""}, "7 x 1,606,938,044,258,990,275"),
        ({"channels": 3, "size": "57", "image": b""}, "its fields are ['channels', 'image', 'size']"),
        ({"channels": 3, "size": (5, 7), "image": "text"}, "its fields are ['channels', 'image', 'size']"),
        ({"pixels": b""}, "its fields are ['pixels']"),
        ({}, "its fields are []"),
    ],
)
def test_numbers_must_fit_the_bytes(images: PublishedImages, fields: dict[str, object], expected: str) -> None:
    state = pickle.dumps(fields, protocol=4)
    body = state[2:-1]  # without protocol and stop
    with pytest.raises(CorruptImageError) as caught:
        images.decode(image_object(body + b"b."), "B00A")
    assert expected in str(caught.value)


PLAIN = (int, str, bytes, tuple, dict)


def test_any_single_changed_byte_reads_as_an_image_or_is_refused() -> None:
    """Whatever the byte: a DataError, or plain data and the reader's own stand-ins; never another error."""
    small = published_value(np.zeros((1, 1, 3), dtype=np.uint8), "x")
    for position in range(len(small)):
        for byte in range(256):
            try:
                fields = read_fields(small[:position] + bytes([byte]) + small[position + 1 :], "place")
            except DataError:
                continue
            kinds = {type(value) for value in fields.values()}
            assert all(kind in PLAIN or kind.__module__ == published.__name__ for kind in kinds), (position, byte)


def test_the_class_may_come_from_any_module() -> None:
    value = published_value(PIXELS, "B00A").replace(b"\x08__main__", b"\x08somewher")
    fields = read_fields(value, "place")
    assert fields["id"] == "B00A"
    assert Image.frombytes("RGB", (7, 5), fields["image"]).size == (7, 5)  # type: ignore[arg-type]
