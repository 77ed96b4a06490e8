"""A damaged page of an LMDB is named: reading it would end the process with a signal."""

import random
import struct
from pathlib import Path

import pytest

from peftrec.data.images.checking import find_corrupt
from peftrec.data.images.lmdb_pages import BRANCH, HEAD_BYTES, LEAF, check_pages
from peftrec.data.images.opening import open_images
from peftrec.errors import DataError
from small_images import encoded

lmdb = pytest.importorskip("lmdb")
PAGE = 4096
NUM_IMAGES = 150
IDS = [f"item {number:03}" for number in range(NUM_IMAGES)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Some images within pages of the tree, others with pages of their own."""
    path = tmp_path_factory.mktemp("pages") / "images.lmdb"
    with (
        lmdb.open(str(path), subdir=False, map_size=2**24) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b"__peftrec_images__", b"1")
        for number, name in enumerate(IDS):
            transaction.put(name.encode(), encoded(1) + bytes(3_000 * (number % 3 == 0)))
    return path.read_bytes()


def pages_of(content: bytes, kind: int) -> list[int]:
    """Return the numbers of all pages of a kind."""
    heads = (struct.unpack_from("<QHH", content, place) for place in range(0, len(content), PAGE))
    return [number for number, (own, _, flags) in enumerate(heads) if own == number and flags == kind]


def changed(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def write(folder: Path, content: bytes, name: str = "images.lmdb") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_the_example_has_what_can_be_damaged(whole: bytes, tmp_path: Path) -> None:
    assert len(pages_of(whole, BRANCH)) == 1
    assert len(pages_of(whole, LEAF)) > 2
    path = write(tmp_path, whole)
    check_pages(path)
    images = open_images(path, IDS, "data.images")
    assert images.fingerprint()
    assert not find_corrupt(images, range(NUM_IMAGES))


FAR = (2**40).to_bytes(8, "little")


@pytest.mark.parametrize("kind", [BRANCH, LEAF])
@pytest.mark.parametrize(
    ("offset", "new"),
    [
        (0, b"\xff"),  # the page's own number
        (10, b"\x04"),  # its kind
        (12, b"\xff\xff"),  # where the list of its entries ends
        (14, b"\x00\x00"),  # where its entries begin
        (HEAD_BYTES, b"\xfe\xff"),  # where one of them lies
        (0, bytes(PAGE)),
        (0, b"\xff" * PAGE),
    ],
)
def test_a_damaged_page_is_named(whole: bytes, tmp_path: Path, kind: int, offset: int, new: bytes) -> None:
    number = pages_of(whole, kind)[0]
    path = write(tmp_path, changed(whole, number * PAGE + offset, new))
    with pytest.raises(DataError, match=rf"images\.lmdb: the LMDB of images is damaged: page {number}; copy it again"):
        open_images(path, IDS, "data.images")


@pytest.mark.parametrize("kind", [BRANCH, LEAF])
@pytest.mark.parametrize("word", [0, 1, 2, 3])
def test_an_entry_that_leads_outside_is_found(whole: bytes, tmp_path: Path, kind: int, word: int) -> None:
    """Two words of length or page, one of marks, or the rest of the page's number, and one of the key's length."""
    number = pages_of(whole, kind)[0]
    (entry,) = struct.unpack_from("<H", whole, number * PAGE + HEAD_BYTES)
    path = write(tmp_path, changed(whole, number * PAGE + entry + 2 * word, b"\xff\xff"))
    with pytest.raises(DataError, match="the LMDB of images is damaged: "):
        check_pages(path)


@pytest.mark.parametrize(
    ("place", "new", "said"),
    [
        (40, bytes(4), "its root"),  # the size of pages
        (94, b"\xff\xff", "its root"),  # the depth of the tree
        (94, bytes(2), "the count of its entries"),
        (120, FAR, "the count of its entries"),
        (128, FAR, f"what points to page {2**40}"),
        (128, bytes(8), "what points to page 0"),
        (128, b"\xff" * 8, "the count of its entries"),  # no page at all
    ],
)
def test_a_damaged_root_is_found(whole: bytes, tmp_path: Path, place: int, new: bytes, said: str) -> None:
    """Damaged in both, whichever is the latest."""
    content = changed(changed(whole, place, new), PAGE + place, new)
    with pytest.raises(DataError, match=f"the LMDB of images is damaged: {said}; copy it again"):
        check_pages(write(tmp_path, content))


@pytest.mark.parametrize("places", [(0, PAGE), (0,), (PAGE,)])
@pytest.mark.parametrize("number", [0, 2, 999, 2**31])
def test_another_format_is_refused_before_the_library_reads_it(
    whole: bytes, tmp_path: Path, places: tuple[int, ...], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later library may read what this check does not know."""
    monkeypatch.setattr(lmdb, "open", lambda *_, **__: pytest.fail("read"))
    content = whole
    for place in places:
        content = changed(content, place + HEAD_BYTES + 4, number.to_bytes(4, "little"))
    path = write(tmp_path, content)
    with pytest.raises(
        DataError, match=rf"images\.lmdb: an LMDB of format {number}; of format 1 alone, .* pack the im"
    ):
        open_images(path, IDS, "data.images")


@pytest.mark.parametrize("kept", [PAGE, PAGE + 100])
def test_a_file_that_ends_before_its_second_root_is_damaged(whole: bytes, tmp_path: Path, kept: int) -> None:
    with pytest.raises(DataError, match="the LMDB of images is damaged: its root; copy it again"):
        check_pages(write(tmp_path, whole[:kept]))


def test_no_mutation_ends_in_a_signal(whole: bytes, tmp_path: Path) -> None:
    """What is not found before it is read is what cannot lead astray: a byte of a key, or of an image."""
    chance = random.Random(5)
    tree = [0, 1, *pages_of(whole, BRANCH), *pages_of(whole, LEAF)]
    answers = {"read": 0, "refused": 0}
    for number in range(120):
        content = bytearray(whole)
        page = chance.choice(tree)
        for _ in range(chance.choice((1, 2, 8))):
            content[page * PAGE + chance.randrange(chance.choice((16, 200, PAGE)))] = chance.choice((0, 255, 7))
        path = write(tmp_path, bytes(content), f"{number}.lmdb")
        try:
            images = open_images(path, IDS, "data.images")
            images.fingerprint()
            find_corrupt(images, [item for item, name in enumerate(images.names) if name is not None])
        except DataError:
            answers["refused"] += 1
        else:
            answers["read"] += 1
    assert min(answers.values()) > 5
