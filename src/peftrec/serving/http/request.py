"""What `peftrec serve` is asked, in words that need no model."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from peftrec.errors import SettingsError
from peftrec.serving.content_weight import CONTENT_NEIGHBOURS, content_weight
from peftrec.serving.http.limits import LIMITS, Limits

GROUPS = "groups"
KEYS = ("host", "port", "keep", "wait_ms", GROUPS, CONTENT_NEIGHBOURS, *LIMITS)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1", "[::1]")
WORKER = "peftrec-worker"
"""Name of the thread that computes."""
LARGEST_PORT = 65_535
LONGEST_WAIT_MS = 1000
_HOST = re.compile(r"[A-Za-z0-9.:_-]+")


@dataclass(frozen=True, kw_only=True)
class ServeRequest:
    """Which runs are served, where, and how much of them."""

    runs: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes a free one, which the first line says."""
    keep: Path | None = None
    """Folder of the files that keep added items; without one they end with the service."""
    wait_seconds: float = 0.0
    """How long the first of several requests waits for others to be computed with."""
    content_neighbours: float | Literal["auto", "off"] = "off"
    """How much content neighbours count beside the runs' own scores."""
    groups: str | None = None
    """The finished division of the run's users by whose parts they are answered: its number of groups, or its folder's
    name."""
    limits: Limits = field(default_factory=Limits)
    places: tuple[str, ...] = ()

    @classmethod
    def of(cls, runs: Sequence[Path], own: Mapping[str, str], places: Sequence[str]) -> "ServeRequest":
        """Read the words of the command line. Raises SettingsError for one that has no such value."""
        names = [run.resolve().name for run in runs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SettingsError(f"run: two folders are called {twice[0]}, by which requests name them; rename one")
        _check_groups(own, runs)
        host = own.get("host", cls.host)
        if not _HOST.fullmatch(host):
            raise SettingsError(f"host={host}: expected a name or address of this machine, as host={cls.host}")
        keep = Path(own["keep"]) if "keep" in own else None
        if keep is not None and keep.exists() and not keep.is_dir():
            raise SettingsError(f"keep={keep}: this is a file; name a folder")
        return cls(
            runs=tuple(runs),
            host=host,
            port=_number("port", own.get("port", str(cls.port)), 0, LARGEST_PORT),
            keep=keep,
            wait_seconds=_number("wait_ms", own.get("wait_ms", "0"), 0, LONGEST_WAIT_MS) / 1000,
            content_neighbours=content_weight(own),
            groups=own.get(GROUPS),
            limits=Limits(**{key: _number(key, own[key], 1) for key in LIMITS if key in own}),
            places=tuple(places),
        )

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can ask."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _check_groups(own: Mapping[str, str], runs: Sequence[Path]) -> None:
    if GROUPS not in own:
        return
    word = f"{GROUPS}={own[GROUPS]}"
    if len(runs) > 1:
        raise SettingsError(
            f"{word}: it names a division of one run's users, and {len(runs)} runs are given; start a service for each "
            "run, with groups= and port= of its own"
        )
    if content_weight(own) != "off":
        raise SettingsError(
            f"{CONTENT_NEIGHBOURS}={own[CONTENT_NEIGHBOURS]}: their weight is chosen by all validation users, and "
            f"{word} ranks each by the own group; leave one of the two out"
        )


def _number(key: str, text: str, least: int, most: int = 2**40) -> int:
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= most:
        upper = f" to {most:,}" if most < 2**40 else ""
        raise SettingsError(f"{key}={text}: expected a whole number from {least}{upper}")
    return int(text)
