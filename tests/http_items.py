"""New items as a service is sent them."""

import base64
import struct
import zlib
from collections.abc import Generator
from typing import Any, TypeVar

from small_images import encoded

Answer = TypeVar("Answer")


def new_item(item: str, title: str | None = "red steel lamp", colour: int = 1, **changes: Any) -> dict[str, Any]:
    """An item with a title and a picture."""
    return {"id": item, "title": title, "image": base64.b64encode(encoded(colour)).decode(), **changes}


def png_of(width: int, height: int) -> str:
    """A PNG that declares a size and holds no pixels, in base64."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return base64.b64encode(content).decode()


def whole(parts: Generator[None, None, Answer]) -> Answer:
    """Compute all parts, one after the other."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
