"""What is said between a measurement and its processes: one JSON object a line, over a socket of this machine."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Channel:
    """One end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")

    @classmethod
    def to(cls, place: Path) -> "Channel":
        """Connect to whoever listens at `place`."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(place))
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def say(self, content: Mapping[str, Any]) -> None:
        """Send an object. Raises ConnectionError where the other end is gone."""
        self._connection.sendall(json.dumps(content).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        """Sleep until the other end says something. Raises ConnectionError where it is gone."""
        line = self._lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the other end is gone")
        content: dict[str, Any] = json.loads(line)
        return content

    def close(self) -> None:
        self._lines.close()
        self._connection.close()
