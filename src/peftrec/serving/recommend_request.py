"""What `peftrec recommend` is asked: its own words, and those that describe a profile."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from peftrec.errors import SettingsError
from peftrec.words import is_true, take_words

KEYS = ("run", "user", "items", "k", "candidates", "seen")
_PROFILE_KEYS = ("profile", "neighbours", "day_length", "seed")


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
    profile_words: tuple[str, ...]
    """Overrides of `conf/profiles`; empty asks the run's own user encoder."""

    @classmethod
    def split(cls, words: Sequence[str]) -> "RecommendRequest":
        """Read the words. Raises SettingsError for one that is unknown, given twice, or has no such value."""
        own, others = take_words(words, KEYS)
        for word in others:
            _check_profile_word(word)
        if others and not any(word.startswith("profile=") for word in others):
            raise SettingsError(f"{others[0]} describes a profile: choose one, for example profile=pinnersage")
        if "run" not in own:
            raise SettingsError("run is required: set run=RUN_DIR")
        if ("user" in own) == ("items" in own):
            raise SettingsError("give one of user=ID and items=[ID,ID,...]")
        return cls(
            run=Path(own["run"]),
            user=own.get("user"),
            items=_ids(own["items"]) if "items" in own else (),
            k=_count(own.get("k", "10")),
            candidates=Path(own["candidates"]) if "candidates" in own else None,
            keeps_seen=is_true(own, "seen"),
            profile_words=tuple(others),
        )


def _check_profile_word(word: str) -> None:
    """Let pass what may be a key of `conf/profiles`, which composition then checks."""
    key = word.partition("=")[0]
    if key.partition(".")[0] in _PROFILE_KEYS:
        return
    near = get_close_matches(key, [*KEYS, *_PROFILE_KEYS], n=1)
    raise SettingsError(
        f"{word}: did you mean {near[0]}=?" if near else f"{word}: unknown; see peftrec recommend --help"
    )


def _ids(text: str) -> tuple[str, ...]:
    """Read `[1,2]` or `1,2`; an id with a comma stands in double quotes. Ids are text: 007 is not 7."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    ids = tuple(item.strip() for item in next(csv.reader([inner], skipinitialspace=True), []))
    if not ids or not all(ids):
        raise SettingsError(f"items={text}: expected ids with commas between them, for example items=[318,527]")
    return ids


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"k={text}: expected a whole number from 1")
    return int(text)
