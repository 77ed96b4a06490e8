"""Images in the LMDB that IISAN's `build_lmdb.py` writes: raw pixels in a pickled object, read without unpickling.

A pickle is a program, and one from somewhere else can run anything. The value of an image needs a dozen of its
instructions, none of which imports or calls. They are followed here on plain data; any other instruction and any
other class is refused, so that no code can run, whatever the file says.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from PIL import Image

from peftrec.data.images.decoding import CorruptImageError
from peftrec.data.images.lmdb import LmdbImages
from peftrec.errors import DataError

CLASS_NAME = "LMDB_Image"
"""The one class allowed, of whatever module: the script that wrote the file calls its own `__main__`."""

CHANNELS = 3
"""The script converts every image to RGB."""

MALFORMED = (ValueError, IndexError, KeyError, TypeError, OverflowError)
"""What broken instructions raise here and in pickletools, which never reads behind the end of the value."""

SHOWN_CHARACTERS = 60


class _Mark:
    """Where a list of keys and values begins on the stack."""


class _ImageClass:
    """Stands for the class; there is nothing behind it."""


@dataclass
class _Record:
    """Stands for an object of the class."""

    fields: dict[str, object] = field(default_factory=dict)


@dataclass
class _Stack:
    """What the instructions work on. Those without a method here are refused."""

    place: str
    values: list[object] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)

    def follow(self, instruction: str, argument: object) -> None:
        """Do what one instruction says."""
        method = self.METHODS.get(instruction)
        if method is None:
            raise DataError(f"{self.place}: {NO_IMAGE}: it holds the instruction {instruction}; nothing of it was run")
        method(self, argument)

    def push(self, argument: object) -> None:
        self.values.append(argument)

    def skip(self, argument: object) -> None:
        """Pass over what only frames the program."""

    def pair(self, argument: object) -> None:
        second, first = self.values.pop(), self.values.pop()
        self.push((first, second))

    def name_class(self, argument: object) -> None:
        """`argument` is "module name", or None where both are on the stack."""
        if argument is None:
            name, module = self.values.pop(), self.values.pop()
        else:
            module, _, name = str(argument).partition(" ")
        if name != CLASS_NAME:
            asked = f"{module}.{name}"[:SHOWN_CHARACTERS]
            raise DataError(f"{self.place}: {NO_IMAGE}: it asks for {asked!r}; nothing of it was run")
        self.push(_ImageClass())

    def make(self, argument: object) -> None:
        arguments, made = self.values.pop(), self.values.pop()
        if arguments != () or not isinstance(made, _ImageClass):
            raise TypeError("an object is made of something else than the class")
        self.push(_Record())

    def fill(self, argument: object) -> None:
        """Put keys and values back to the mark into the dict below it."""
        start = max(place for place, value in enumerate(self.values) if isinstance(value, _Mark))
        flat = self.values[start + 1 :]
        del self.values[start:]
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            self._put(key, value)

    def fill_one(self, argument: object) -> None:
        value, key = self.values.pop(), self.values.pop()
        self._put(key, value)

    def _put(self, key: object, value: object) -> None:
        target = self.values[-1]
        if not isinstance(target, dict) or not isinstance(key, str):
            raise TypeError("a field has no name")
        target[key] = value

    def build(self, argument: object) -> None:
        state, record = self.values.pop(), self.values[-1]
        if not isinstance(state, dict) or not isinstance(record, _Record):
            raise TypeError("fields belong to no object")
        record.fields = state

    def remember(self, argument: object) -> None:
        self.memo[argument if isinstance(argument, int) else len(self.memo)] = self.values[-1]

    def recall(self, argument: object) -> None:
        self.push(self.memo[argument])  # type: ignore[index]

    METHODS: ClassVar[dict[str, Callable[["_Stack", object], None]]] = {
        **dict.fromkeys(("PROTO", "FRAME", "STOP"), skip),
        **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1"), push),
        **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"), push),
        "MARK": lambda stack, _: stack.push(_Mark()),
        "EMPTY_TUPLE": lambda stack, _: stack.push(()),
        "EMPTY_DICT": lambda stack, _: stack.push({}),
        "TUPLE2": pair,
        "GLOBAL": name_class,
        "STACK_GLOBAL": name_class,
        "NEWOBJ": make,
        "SETITEM": fill_one,
        "SETITEMS": fill,
        "BUILD": build,
        **dict.fromkeys(("MEMOIZE", "BINPUT", "LONG_BINPUT"), remember),
        **dict.fromkeys(("BINGET", "LONG_BINGET"), recall),
    }


NO_IMAGE = "the value is no image as IISAN's build_lmdb.py writes it"


def read_fields(content: bytes, place: str) -> dict[str, object]:
    """Return the fields of the pickled image. Raises DataError for a program of any other kind, CorruptImageError
    for a damaged one."""
    stack = _Stack(place)
    try:
        for opcode, argument, _ in pickletools.genops(content):
            stack.follow(opcode.name, argument)
        (record,) = stack.values
    except MALFORMED as error:
        raise CorruptImageError(f"{place}: the pickled image is damaged ({error})") from error
    if not isinstance(record, _Record):
        raise CorruptImageError(f"{place}: {NO_IMAGE}: it is no object")
    return record.fields


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
                if channels == CHANNELS and height > 0 and width > 0 and len(pixels) == height * width * channels:
                    return Image.frombytes("RGB", (width, height), pixels)
                found = f"{len(pixels)} bytes for {height} x {width} pixels of {channels} channels"
                raise CorruptImageError(f"{place}: {found}; {height} x {width} x {CHANNELS} are needed")
        raise CorruptImageError(f"{place}: {NO_IMAGE}: its fields are {sorted(fields)}"[:300])
