"""Which combinations of methods a command compares: `strategy=id,lora user_encoder=sasrec,ligr` makes four."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from hydra.core.override_parser.types import ChoiceSweep, QuotedString

from peftrec.config.composition import parse_override
from peftrec.errors import SettingsError

STRATEGY = "strategy"
BESIDE = ("user_encoder", "objective")
"""Groups of which several options may be listed beside the strategies: what in a run is a method. Data, towers and
trainers are what methods are compared on."""


@dataclass(frozen=True, kw_only=True)
class Combination:
    """A strategy, and the options that it is combined with of each group that was listed."""

    strategy: str
    beside: Mapping[str, str] = field(default_factory=dict)
    """Group to option, in the order of BESIDE; empty where strategies alone are compared."""
    words: tuple[str, ...] = ()
    """What rows of a report say of these options: `LiGR`."""

    @property
    def name(self) -> str:
        """What the journal calls it, and what its draws are seeded by: `id, user_encoder=ligr`."""
        return ", ".join([self.strategy, *(f"{group}={option}" for group, option in self.beside.items())])

    @property
    def file_name(self) -> str:
        """The same for a folder: `id,user_encoder=ligr`."""
        return self.name.replace(" ", "").replace("/", "-")

    @property
    def label(self) -> str:
        """What people call it, as the rows of a report: `id (LiGR)`."""
        return f"{self.strategy} ({', '.join(self.words)})" if self.words else self.strategy

    @property
    def choices(self) -> dict[str, str]:
        """Every group that tells it from the others, with its option."""
        return {STRATEGY: self.strategy, **self.beside}

    @property
    def overrides(self) -> tuple[str, ...]:
        """The words of a command line that choose it."""
        return tuple(f"{group}={option}" for group, option in self.choices.items())


def combination_of(name: str) -> Combination:
    """Return the combination that has this name in a journal."""
    strategy, *beside = name.split(", ")
    return Combination(strategy=strategy, beside=dict(each.split("=", 1) for each in beside))


def split_words(words: Sequence[str]) -> tuple[list[Combination], list[str]]:
    """Return the combinations that the words list, and the words that hold for all of them.

    Raises SettingsError where no strategy is named, one option twice, or several in words of which the last alone would
    count, and for another key with several values: what is tried is what the spaces say.
    """
    listing = [word for word in words if _lists(word)]
    others = [word for word in words if word not in listing]
    options = {group: _options(listing, group) for group in (STRATEGY, *BESIDE)}
    if not options[STRATEGY]:
        raise SettingsError("strategy is required: name what is tuned, as strategy=full,lora,iisan_cached")
    groups = [group for group in BESIDE if options[group]]
    for group in BESIDE:
        named = [word for word in words if _key(word) == group]
        if len(named) > 1 and not set(named) <= set(listing):
            raise SettingsError(f"{' '.join(named)}: name what is compared in one word, as {group}=A,B")
    return [
        Combination(strategy=strategy, beside=dict(zip(groups, beside, strict=True)))
        for strategy, *beside in product(options[STRATEGY], *(options[group] for group in groups))
    ], others


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def _lists(word: str) -> bool:
    """Say whether a word lists what is compared. Raises SettingsError where it lists what is not."""
    key = _key(word)
    if key == "seed":
        raise SettingsError(f"{word}: a tuning has trial_seed=N for its trials and final_seeds=1,2,3 for the rest")
    is_several = parse_override(word).is_sweep_override()
    if is_several and key not in (STRATEGY, *BESIDE):
        raise SettingsError(
            f"{word}: give {key} one value; what a tuning tries is said in search/STRATEGY.yaml, and what it compares "
            f"is listed of {STRATEGY}, {' and '.join(BESIDE)}"
        )
    return key == STRATEGY or is_several


def _options(listing: Sequence[str], group: str) -> list[str]:
    """Return the options that words list of a group. Raises SettingsError for what is no list of names, and for one
    that stands twice."""
    options = [option for word in listing if _key(word) == group for option in _listed(word)]
    if twice := [option for option in options if options.count(option) > 1]:
        raise SettingsError(f"{group}: {twice[0]} is named twice")
    return options


def _listed(word: str) -> list[str]:
    value = parse_override(word).value()
    options = [
        each.text if isinstance(each, QuotedString) else each
        for each in (value.list if isinstance(value, ChoiceSweep) else [value])
    ]
    if not all(isinstance(each, str) and each for each in options):
        raise SettingsError(f"{word}: list names with commas between them, as {_key(word)}=A,B")
    return [str(each) for each in options]


def check_one_kind(own: Combination, former: Sequence[str], folder: Path) -> None:
    """Raise SettingsError where a folder has best settings of strategies alone and combinations are tuned, or the other
    way round: `peftrec train` would take both. `former` are names of what was tuned there before."""
    others = [name for name in former if ("=" in name) != bool(own.beside)]
    if others:
        kinds = ("strategies alone", f"combinations with {' or '.join(BESIDE)}")
        there, asked = kinds if own.beside else reversed(kinds)
        raise SettingsError(
            f"{folder}: holds a tuning of {there} ({others[0]}); one of {asked} needs a folder of its own: set "
            "name=NAME"
        )


def words_of(classes: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return by group what stands in a label for each option, from the class of each.

    A report's rows tell parts by their classes. Where two options have one class, the option's name stands in for it.
    """
    found = {}
    for group, by_option in classes.items():
        are_apart = len(set(by_option.values())) == len(by_option)
        found[group] = {option: name if are_apart else f"{group}={option}" for option, name in by_option.items()}
    return found


def one_of(combinations: Sequence[Combination]) -> str:
    """Return what one of them is, in words: `strategy`, or `combination of strategy and user encoder`."""
    groups = [group.replace("_", " ") for group in BESIDE if any(group in each.beside for each in combinations)]
    if not groups:
        return STRATEGY
    first = [STRATEGY, *groups[:-1]]
    return f"combination of {', '.join(first)} and {groups[-1]}"


def several_of(combinations: Sequence[Combination]) -> str:
    """Return what several of them are, in a word."""
    return "combinations" if any(each.beside for each in combinations) else "strategies"
