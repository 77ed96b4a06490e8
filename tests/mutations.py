"""Seeded damage: bytes replaced, inserted, cut off, as an editor, a broken copy or a stranger may leave a file."""

import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftrec.errors import UserError

PIECES = [
    *(b"\t", b"\n", b"\r", b" ", b"", b"\x00", b"\xff", b'"', b"'", b",", b":", b"{", b"]", b"\\", b".", b"-", b"%"),
    *(b"&#xD800;", "\u2028".encode(), "\u0301".encode(), b"\x1b[2J", b"\xef\xbb\xbf", b"nan", b"1e999", b"-1"),
    *(b"99999999999999999999", b"null", b"true", b"../", b"version https://git-lfs.github.com/spec/v1\n"),
]


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Return the content with one to four pieces replaced, or cut off somewhere."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4])):
        start = chance.randrange(len(changed) + 1)
        length = chance.choice([0, 1, 1, 3, 20])
        piece = chance.choice([*PIECES, bytes([chance.randrange(256)]), bytes(changed[:length])])
        changed[start : start + length] = piece
    return bytes(changed if chance.random() < 0.95 else changed[: chance.randrange(len(changed) + 1)])


ODD_VALUES: list[Any] = [None, -1, 2**70, 1e308, "", "x", "\x1b[2J", [], {}, True, [[]], {"a": {}}, "$\\frac{$"]


def mutated_json(value: Any, chance: random.Random) -> Any:
    """Return plain data with one value, key or branch replaced, added or gone."""
    copy = json.loads(json.dumps(value))
    node, parent, key = copy, None, None
    while isinstance(node, dict | list) and node and (parent is None or chance.random() < 0.8):
        parent, key = node, chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
        node = parent[key]
    if chance.random() < 0.2:
        del parent[key]
    elif chance.random() < 0.1 and isinstance(parent, dict):
        parent["unknown"] = 1
    else:
        parent[key] = chance.choice(ODD_VALUES)
    return copy


@dataclass(frozen=True)
class Target:
    """Files that are damaged one at a time, and who reads them."""

    root: Path
    files: Sequence[Path]
    read: Callable[[random.Random], object]
    """Reads what lies there now; its random numbers choose policies."""
    key: str | None = None
    """How the configuration names it, where a message may name that in place of the folder."""


def refusals(target: Target, name: str, rounds: int) -> list[str]:
    """Damage one file of the target after the other and read; return what was refused, in words.

    Anything but a UserError fails, with the round that it fails in; so does one that names no file of the folder.
    """
    whole = {file: file.read_bytes() for file in target.files}
    refused = []
    for number in range(rounds):
        chance = random.Random(f"{name} {number}")
        file = chance.choice(sorted(whole))
        file.write_bytes(_damaged(file, whole[file], chance))
        try:
            target.read(chance)
        except UserError as error:
            refused.append(str(error))
        except Exception as error:
            raise AssertionError(f"round {number} of {name}: {file.name} gave {type(error).__name__}") from error
        finally:
            file.write_bytes(whole[file])
    unnamed = [told for told in refused if str(target.root) not in told and (target.key or "\n") not in told]
    assert not unnamed, f"{name}: no file is named in {unnamed[0]!r}"
    return refused


def _damaged(file: Path, content: bytes, chance: random.Random) -> bytes:
    """Damage the bytes; of JSON more often what it says."""
    if file.suffix == ".json" and chance.random() < 0.7:
        with suppress(ValueError):  # several lines of JSON in one file
            return json.dumps(mutated_json(json.loads(content), chance)).encode()
    return mutated(content, chance)
