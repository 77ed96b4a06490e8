"""Words that a verb does not take, each answered with what to write."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from peftrec.config.choices import options, root_node
from peftrec.errors import SettingsError, did_you_mean
from peftrec.settings.synonyms import in_our_words, written

_NEARLY = 0.8
"""Of `difflib`'s ratio: one letter in five is another."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a verb takes before `=`."""

    verb: str
    keys: frozenset[str]
    """Its own."""
    folder: str | None
    """Of the configuration that other words compose, below `conf/`; null where they compose none."""

    def explain_flag(self, word: str, following: str | None, known: Sequence[str]) -> str:
        """Return the message about an unknown flag: `--strategy lora` is `strategy=lora` here."""
        name, equals, value = word.partition("=")
        said = value if equals else following if following and _is_bare(following) else None
        if (instead := self._instead(name.lstrip("-").replace("-", "_"), said)) is not None:
            return f"unknown flag {word}; write {instead}"
        return f"unknown flag {word}; {did_you_mean(word, known, otherwise=f'see peftrec {self.verb} --help')}"

    def refuse_misspelt(self, words: Sequence[str]) -> None:
        """Raise SettingsError for a word whose key is nearly one of the verb's own: what composes the other words would
        answer with keys of the configuration alone."""
        for word in words:
            key, _, value = word.lstrip("+").partition("=")
            nearly = get_close_matches(key, self.keys, n=1, cutoff=_NEARLY)
            if nearly and key not in self.keys and not self._is_elsewhere(key):
                raise SettingsError(f"{word}: did you mean {nearly[0]}={written(value)}?")

    def _is_elsewhere(self, key: str) -> bool:
        """Say whether a key is of the configuration, or one that other programs have."""
        first = re.split("[.@/]", key, maxsplit=1)[0]
        folder = self.folder or ""
        return first in options(folder) or first in root_node(folder) or in_our_words(key, None) is not None

    def refuse_bare(self, words: Sequence[str]) -> None:
        """Raise SettingsError for a word without `=`: `strategy lora`, or `lora` alone."""
        for place, word in enumerate(words):
            if not _is_bare(word):
                continue
            following = words[place + 1] if place + 1 < len(words) and _is_bare(words[place + 1]) else None
            instead = self._instead(word, following)
            if instead is None:
                chosen = [
                    f"{group}={name}"
                    for group, names in options(self.folder or "").items()
                    for name in names
                    if name.casefold() == word.casefold()
                ]
                instead = chosen[0] if chosen else f"KEY=VALUE (see peftrec {self.verb} --help)"
                following = None
            raise SettingsError(f"{word if following is None else f'{word} {following}'}: write {instead}")

    def _instead(self, key: str, value: str | None) -> str | None:
        """Return what to write for a key and its value, None where nobody calls a key so."""
        if key in self.keys:
            return f"{key}={written(value)}"
        if self.folder is None:
            return None
        if key in options(self.folder) or key in root_node(self.folder) or "." in key:
            return f"{key}={written(value)}"
        return None if self.folder else in_our_words(key, value)


def _is_bare(word: str) -> bool:
    return "=" not in word and not word.startswith(("-", "~"))
