"""The words of a command line, read in one way for all verbs.

    flags        `--json`, `-m`
    options      `--published PAPER` or `--published=PAPER`
    own keys     `run=DIR`: what a verb has itself
    others       `strategy=lora`, `strategy.rank=4`, for a verb that composes a configuration; places, for one that
                 names some

Whatever a verb does not know is one message with the nearest word that it does.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from peftrec.cli.wrong_words import Vocabulary
from peftrec.errors import SettingsError, UserError, did_you_mean, expected_one_of

HELP = frozenset({"-h", "--help"})
SWEEP = frozenset({"-m", "--multirun"})
JSON = "--json"
SWITCH = ("true", "false")
CODE = "code"
CONFIG_FOLDER = "--config-dir"
RUN = "run"


@dataclass(frozen=True, kw_only=True)
class Composed:
    """The configuration that words of a verb compose."""

    folder: str = ""
    """Of its yaml files, below `conf/`."""
    settings: str = ""
    """Its class, as `module:name`, where that can be imported without torch; whoever completes keys asks it."""


RUN_SETTINGS = Composed(settings="peftrec.settings.run:Settings")


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """What the command line of a verb may hold. Each verb's module has its own as `GRAMMAR`: reading words, helping,
    completing and `peftrec doctor` go by it, so that a new verb is listed in `peftrec.cli.main` and nowhere else."""

    verb: str
    help: str | Callable[[], str]
    """Lines that begin with two spaces and `peftrec` are examples: they run when pasted, one after the other, in an
    empty folder; tests run those that are not about files of the reader's own."""
    actions: tuple[str, ...] = ()
    """What the first word may be, where it says what is done."""
    flags: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)
    """Option to what it takes, in capitals."""
    keys: tuple[str, ...] = ()
    """Keys that the verb reads itself."""
    repeatable: tuple[str, ...] = ()
    """Those that may be given more than once."""
    required: Mapping[str, str] = field(default_factory=dict)
    """Keys that must be there, each with what it takes."""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What keys may be set to, where that can be listed; of its own, other values are refused."""
    among: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Words that keys may be set to beside numbers."""
    composes: Composed | None = None
    """The configuration that other words compose."""
    otherwise_called: Mapping[str, str] = field(default_factory=dict)
    """Words that may be meant for a key, and no likeness tells, each with what to write."""
    takes_names: bool = False
    """Whether words without `=` are names or folders, which the verb reads."""
    beside: tuple[str, ...] = ()
    """Keys among those words that are not of that configuration."""
    extras: Mapping[str, str] = field(default_factory=dict)
    """Extra of the distribution to what it is needed for."""
    leaves_others: bool = False
    """Whether other words are somebody else's to read: those of a configuration, or places."""
    takes_places: bool = False
    """Whether words may say where a run's data, towers and stores lie now, for a verb that takes a run."""
    runs_user_code: bool = False
    """Whether folders of the user's own code, and of its configuration, may be named."""
    needs_words: bool = False
    """Whether nothing at all asks for the help."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """A command line, sorted."""

    flags: frozenset[str]
    options: Mapping[str, str]
    own: Mapping[str, str]
    others: list[str]
    places: tuple[str, ...] = ()
    """`data.root=DIR` and the like."""
    repeated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """All values of each key that may be given more than once; `own` has the first."""

    @property
    def is_sweep(self) -> bool:
        return bool(self.flags & SWEEP)

    @property
    def wants_json(self) -> bool:
        return JSON in self.flags

    @property
    def run(self) -> Path:
        """The folder that `run=` names: by its whole name, or without the hash. Raises RecordError where several runs
        are called so."""
        from peftrec.results.named_run import named_run

        return named_run(Path(self.own[RUN]))

    @property
    def runs(self) -> tuple[Path, ...]:
        """The folders of all runs, for a verb that takes several; each is named as `run` is."""
        from peftrec.results.named_run import named_run

        return tuple(named_run(Path(name)) for name in self.repeated[RUN])

    def only(self, kind: str, grammar: Grammar) -> str:
        """Return the one word that is somebody else's, of what `kind` says. Raises UserError for none or several, and
        SettingsError for one that looks like a key and is none."""
        for word in self.others:
            if "=" in word and not os.path.lexists(word):
                raise SettingsError(_unknown_word(grammar, word, grammar.keys))
        if len(self.others) != 1:
            raise UserError(f"expected one {kind}, got {' '.join(self.others) or 'none'}")
        if not self.others[0]:  # "$RUNS" where RUNS is not set; as a path, the working folder
            raise UserError(f"expected one {kind}, got an empty word")
        return self.others[0]

    def switch(self, key: str, *, default: bool = False) -> bool:
        """Return a switch. Raises SettingsError for anything but true and false."""
        value = self.own.get(key)
        if value is not None and value not in SWITCH:
            raise SettingsError(f"{key}={value}: {expected_one_of(SWITCH, value)}")
        return default if value is None else value == "true"


def read_arguments(grammar: Grammar, words: Sequence[str]) -> Arguments | None:
    """Sort the words of a verb, and let the user's folders be used that they name; None where the help was asked for,
    and is printed.

    Raises SettingsError for a word that is unknown, given twice, or lacks its value, and for one that is missing.
    """
    if HELP & set(words) or (grammar.needs_words and not words):
        print((grammar.help if isinstance(grammar.help, str) else grammar.help()).rstrip())
        return None
    flags, options, rest = _take_flags(grammar, words)
    keys = (*grammar.keys, CODE) if grammar.runs_user_code else grammar.keys
    places: list[str] = []
    if grammar.takes_places:
        from peftrec.settings.places import is_place_word

        places = [word for word in rest if is_place_word(word)]
        rest = [word for word in rest if word not in places]
    given, others = _take_keys(rest, keys)
    _refuse_bare_run(others, keys)
    if grammar.composes is not None and not grammar.takes_names:
        _vocabulary(grammar).refuse_bare(others)
        _vocabulary(grammar).refuse_misspelt(others)
    own = _first_values(given, grammar.repeatable)
    if others and not grammar.leaves_others:
        raise SettingsError(_unknown_word(grammar, others[0], keys))
    _check_own(grammar, own)
    if grammar.runs_user_code:
        _open_door(own.pop(CODE, None), options.pop(CONFIG_FOLDER, None))
    return Arguments(
        flags=frozenset(flags),
        options=options,
        own=own,
        others=others,
        places=tuple(places),
        repeated={key: tuple(given[key]) for key in grammar.repeatable if key in given},
    )


def _take_flags(grammar: Grammar, words: Sequence[str]) -> tuple[set[str], dict[str, str], list[str]]:
    known_options = dict(grammar.options)
    if grammar.runs_user_code:
        known_options[CONFIG_FOLDER] = "DIR"
    flags: set[str] = set()
    options: dict[str, str] = {}
    rest: list[str] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if name in known_options:
            if not equals:
                value = waiting.pop(0) if waiting else ""
            if not value or name in options:
                raise SettingsError(f"{name}: give it one {known_options[name]}: {name} {known_options[name]}")
            options[name] = value
        elif word in grammar.flags:
            flags.add(word)
        elif word.startswith("-"):
            following, known = (waiting[0] if waiting else None), [*grammar.flags, *known_options]
            raise SettingsError(_vocabulary(grammar).explain_flag(word, following, known))
        else:
            rest.append(word)
    return flags, options, rest


def _take_keys(words: Sequence[str], keys: Collection[str]) -> tuple[dict[str, list[str]], list[str]]:
    own: dict[str, list[str]] = {}
    others: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in keys:
            others.append(word)
        elif not value:
            raise SettingsError(f"{word}: give {key} a value")
        else:
            own.setdefault(key, []).append(value)
    return own, others


def _vocabulary(grammar: Grammar) -> Vocabulary:
    folder = None if grammar.composes is None else grammar.composes.folder
    return Vocabulary(verb=grammar.verb, keys=frozenset({*grammar.keys, *grammar.beside}), folder=folder)


def _first_values(given: Mapping[str, list[str]], repeatable: Collection[str]) -> dict[str, str]:
    for key, values in given.items():
        if len(values) > 1 and key not in repeatable:
            raise SettingsError(f"{key}={values[1]}: {key} is given twice")
    return {key: values[0] for key, values in given.items()}


def _check_own(grammar: Grammar, own: Mapping[str, str]) -> None:
    for key, kind in grammar.required.items():
        if key not in own:
            raise SettingsError(f"{key} is required: set {key}={kind}")
    for key, known in grammar.values.items():
        if key in own and own[key] not in known:
            raise SettingsError(f"{key}={own[key]}: {expected_one_of(known, own[key])}")


def _unknown_word(grammar: Grammar, word: str, keys: Collection[str]) -> str:
    name, equals, _ = word.partition("=")
    listed = f"its keys are {', '.join(keys)}: " if equals and keys else ""
    hint = did_you_mean(name, keys, otherwise=f"{listed}see peftrec {grammar.verb} --help")
    if (instead := grammar.otherwise_called.get(name)) is not None:
        hint = f"write {instead}"
    return f"{word}: unknown to peftrec {grammar.verb}; {hint}"


def _refuse_bare_run(words: Sequence[str], keys: Collection[str]) -> None:
    """Raise SettingsError for a path that stands where `run=` is expected."""
    for word in words:
        if RUN in keys and "=" not in word and (os.sep in word or os.path.lexists(word)):
            raise SettingsError(f"{word}: write {quote(f'{RUN}={word}')}")


def _open_door(code: str | None, config: str | None) -> None:
    from peftrec.code.user_code import open_door

    open_door(code=[code] if code else [], config=[config] if config else [])
