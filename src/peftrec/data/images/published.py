"""Images in the LMDB that IISAN's `build_lmdb.py` writes: raw pixels in a pickled object, from which no code can run.

A pickle is a program, and one from somewhere else can run anything. Two locks keep it from that. The unpickler knows
a single name, that of the image's class, and gives an inert stand-in for it. And before it sees a value, the value's
instructions are compared with the few that an image takes: what calls, what asks the registry of extensions, and what
could fill the memory or the interpreter's stack from a few bytes is refused unread.
"""

import contextlib
import io
import pickle
import pickletools
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image

from peftrec.data.images.decoding import CorruptImageError
from peftrec.data.images.lmdb import LmdbImages
from peftrec.errors import DataError

CLASS_NAME = "LMDB_Image"
"""The one class allowed, of whatever module: the script that wrote the file calls its own `__main__`."""

CHANNELS = 3
"""The script converts every image to RGB."""

INSTRUCTIONS = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINPUT", "BINGET"),
        *("GLOBAL", "STACK_GLOBAL", "NEWOBJ", "BUILD"),
        *("EMPTY_TUPLE", "TUPLE2", "EMPTY_DICT", "SETITEM", "SETITEMS"),
        *("BININT", "BININT1", "BININT2", "LONG1"),
        *("SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
    )
)
"""What an image takes. None of them calls, or makes more than its own bytes: LONG_BINPUT would reserve gigabytes."""

MOST_INSTRUCTIONS = 64
"""An image takes under 40. Many more could nest tuples so deep that hashing one overflows the interpreter's stack,
or double one in every step until hashing it never ends."""

MALFORMED = (pickle.UnpicklingError, AttributeError, EOFError, LookupError, TypeError, ValueError, DeprecationWarning)
"""What a broken program raises, by the documentation of pickle, and in pickletools, which never reads behind the end
of the value. The warning, of a string's unknown escape sequence, only where warnings are errors."""

SHOWN_CHARACTERS = 60
NO_IMAGE = "the value is no image as IISAN's build_lmdb.py writes it"


class _ImageObject:
    """Stands for an object of the class; all it does is keep its state, so nothing can set its attributes."""

    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _ImageUnpickler(pickle.Unpickler):
    """Knows the one class."""

    def __init__(self, program: bytes, place: str) -> None:
        super().__init__(io.BytesIO(program))
        self.place = place

    def find_class(self, module: str, name: str) -> type[_ImageObject]:
        """Return the stand-in. Raises DataError for any other name."""
        if name != CLASS_NAME:
            asked = f"{module}.{name}"[:SHOWN_CHARACTERS]
            raise _refusal(self.place, f"asks for {asked!r}")
        return _ImageObject


def _refusal(place: str, what: str) -> DataError:
    return DataError(f"{place}: {NO_IMAGE}: it {what}; nothing of it was run")


def _allowed_part(content: bytes) -> tuple[bytes, str | None]:
    """Return the program up to the first instruction that is refused, and what that does (None: none is).

    Frames are left out. They only say what to read at once, but the unpickler drops the rest of a frame that ends
    within an instruction, and would go on at another byte than was looked at here.
    """
    stream = io.BytesIO(content)
    view = memoryview(content)
    parts: list[memoryview] = []
    for opcode, _, start in pickletools.genops(stream):
        if opcode.name not in INSTRUCTIONS:
            return b"".join(parts), f"holds the instruction {opcode.name}"
        if len(parts) == MOST_INSTRUCTIONS:
            return b"".join(parts), f"takes more than {MOST_INSTRUCTIONS} instructions"
        if opcode.name != "FRAME":
            parts.append(view[start : stream.tell()])
    return b"".join(parts), None


def read_fields(content: bytes, place: str) -> dict[str, object]:
    """Return the fields of the pickled image. Raises DataError for a program of any other kind, CorruptImageError
    for a damaged one."""
    try:
        program, refused = _allowed_part(content)
        if refused is not None:
            with contextlib.suppress(EOFError):  # the end of what is allowed; damage or a class may come before
                _ImageUnpickler(program, place).load()
            raise _refusal(place, refused)
        made = _ImageUnpickler(program, place).load()
    except MALFORMED as error:
        raise CorruptImageError(f"{place}: the pickled image is damaged ({error})") from error
    match made:
        case _ImageObject(state=dict(fields)) if all(isinstance(name, str) for name in fields):
            return fields
    raise CorruptImageError(f"{place}: {NO_IMAGE}: it is no object with named fields")


@dataclass(frozen=True, kw_only=True)
class PublishedImages(LmdbImages):
    """Read-only; values hold `channels`, `size` (height, width) and `image`, the bytes of rows of RGB pixels."""

    holds_files: ClassVar[bool] = False

    def decode(self, content: bytes, name: str) -> Image.Image:
        """Return the image of a pickled object, whose numbers must fit its bytes."""
        place = self.place(name)
        fields = read_fields(content, place)
        match fields:
            case {"channels": int(channels), "size": (int(height), int(width)), "image": bytes(pixels)}:
                self.decoding.check_size(width, height, place)
                if channels == CHANNELS and height > 0 and width > 0 and len(pixels) == height * width * channels:
                    return Image.frombytes("RGB", (width, height), pixels)
                found = f"{len(pixels)} bytes for {height} x {width} pixels of {channels} channels"
                raise CorruptImageError(f"{place}: {found}; {height} x {width} x {CHANNELS} are needed")
        raise CorruptImageError(f"{place}: {NO_IMAGE}: its fields are {sorted(fields)}"[:300])
