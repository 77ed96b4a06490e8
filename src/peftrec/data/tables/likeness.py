"""Ids that are written in two ways: what spreadsheets, file systems and other programs make of an id on the way."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from unicodedata import category, normalize


@dataclass(frozen=True)
class Spelling:
    """A difference that no reader sees, or that a program made."""

    of: Callable[[str], str]
    """Gives what two such ids have in common."""
    difference: str
    remedy: str


_UNDRAWN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Joiners, fillers and selectors of variants: what Unicode calls default-ignorable and classes as letters or marks."""


def _visible(text: str) -> str:
    """Drop what no font draws: zero-width spaces and joiners, marks of byte order and direction, soft hyphens, control
    characters; and the letters and marks that are drawn as nothing."""
    if text.isascii() and text.isprintable():
        return text  # nearly all ids, and a service's requests wait for this
    return "".join(
        char for char in text if char.isspace() or not (category(char) in {"Cc", "Cf"} or _UNDRAWN.match(char))
    )


SPELLINGS = (
    Spelling(str.strip, "white space around it", "strip it"),
    Spelling(lambda text: " ".join(text.split()), "white space in it", "write one plain space between words"),
    Spelling(_visible, "characters that cannot be seen", "remove them"),
    Spelling(lambda text: normalize("NFC", text), "how accents are coded (NFC, NFD)", "write ids in NFC"),
    Spelling(
        lambda text: normalize("NFKC", text), "the form of its characters (full width, ligatures)", "write ids in NFKC"
    ),
    Spelling(lambda text: re.sub(r"^(-?\d+)\.0+$", r"\1", text), "a fraction of zero", "write whole numbers"),
    Spelling(lambda text: re.sub(r"^0+(?=\d)", "", text), "leading zeros", "keep the column as text"),
    Spelling(str.casefold, "capital letters", "write ids in one case"),
)
"""From what a text is coded in to what it says, so that each sees what those before it have made plain."""
ALL = Spelling(
    lambda text: reduce(lambda done, spelling: spelling.of(done), SPELLINGS, _visible(text)),
    "several of white space, unseen characters, how characters are coded, zeros and capital letters",
    "write ids in one way",
)


def look_alike(unknown: Sequence[str], known: Sequence[str]) -> str:
    """Say which known id the first of the unknown ones is but for its spelling, and how many others are so; empty where
    there is none."""
    for spelling in (*SPELLINGS, ALL):
        by_form = {spelling.of(name): name for name in known}
        if (same := by_form.get(spelling.of(unknown[0]))) is not None:
            number = sum(spelling.of(name) in by_form for name in unknown)
            others = f", as {number:,} of {len(unknown):,} such ids do" if len(unknown) > 1 else ""
            return f"{same!r} there differs in {spelling.difference} alone{others}: {spelling.remedy}"
    return ""
