"""Words that a verb does not take, each answered with what to write."""

from collections.abc import Sequence

from peftrec.cli.arguments import Grammar
from peftrec.cli.choices import options, root_node
from peftrec.errors import SettingsError, did_you_mean
from peftrec.settings.synonyms import in_our_words, written


def explain_flag(grammar: Grammar, word: str, following: str | None, known: Sequence[str]) -> str:
    """Return the message about an unknown flag: `--strategy lora` is `strategy=lora` here."""
    name, equals, value = word.partition("=")
    said = value if equals else following if following and _is_bare(following) else None
    key = name.lstrip("-").replace("-", "_")
    if (instead := _instead(grammar, key, said)) is not None:
        return f"unknown flag {word}; write {instead}"
    return f"unknown flag {word}; {did_you_mean(word, known, otherwise=f'see peftrec {grammar.verb} --help')}"


def refuse_bare(grammar: Grammar, words: Sequence[str]) -> None:
    """Raise SettingsError for a word without `=`, where the words compose a configuration: `strategy lora`, or `lora`
    alone."""
    for place, word in enumerate(words):
        if not _is_bare(word):
            continue
        following = words[place + 1] if place + 1 < len(words) and _is_bare(words[place + 1]) else None
        instead = _instead(grammar, word, following)
        if instead is None:
            groups = options(grammar.composes.folder if grammar.composes else "")
            chosen = [f"{group}={word}" for group, names in groups.items() if word in names]
            instead = chosen[0] if chosen else f"KEY=VALUE (see peftrec {grammar.verb} --help)"
            following = None
        raise SettingsError(f"{word if following is None else f'{word} {following}'}: write {instead}")


def _is_bare(word: str) -> bool:
    return "=" not in word and not word.startswith(("-", "~"))


def _instead(grammar: Grammar, key: str, value: str | None) -> str | None:
    """Return what to write for a key and its value, None where nobody calls a key so."""
    of_verb = {*grammar.keys, *grammar.beside}
    if key in of_verb:
        return f"{key}={written(value)}"
    if grammar.composes is None:
        return None
    folder = grammar.composes.folder
    if key in options(folder) or key in root_node(folder) or "." in key:
        return f"{key}={written(value)}"
    return None if folder else in_our_words(key, value)
