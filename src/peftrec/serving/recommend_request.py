"""What `peftrec recommend` is asked, in words that need no model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RecommendRequest:
    """Who is recommended what to."""

    run: Path
    user: str | None
    items: tuple[str, ...]
    """A history without a user, oldest first; empty where a user is given."""
    k: int
    candidates: Path | None
    """Table of new items to rank beside the run's own."""
    keeps_seen: bool
    content_neighbours: float | Literal["auto", "off"] = "off"
    """How much content neighbours count beside the run's own scores."""
    places: tuple[str, ...] = ()
    """Where the run's things lie now: `data.root=DIR`."""
    profile_words: tuple[str, ...] = ()
    """Overrides of `conf/profiles`; empty asks the run's own user encoder."""
