"""What happens to items without usable content and to users with short histories: an error, or a counted repair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from peftrec.data.choices import LEAST_MINIMUM, Policy
from peftrec.data.source import DataSource
from peftrec.data.tables.mistakes import Mistakes
from peftrec.data.tables.tables import HistoryTable
from peftrec.errors import SHOWN, DataError, shortlist


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A way in which an item's content can be unusable: the key of its policy, and the names of its counts."""

    key: str
    summary: str
    count_dropped: str
    count_blanked: str
    blank: str
    towers: tuple[str, ...] = ()
    """Names of the towers that read such content."""

    def read_by(self, towers: Sequence[str]) -> "Fault":
        """Return the same of content that these towers read."""
        return replace(self, towers=tuple(towers))

    @property
    def without(self) -> str:
        """The overrides under which nobody reads such content, strategies that know items by their ids included."""
        return without_towers(self.towers)


def towers_need(names: Sequence[str]) -> str:
    """Begin to say what towers lack: "the text tower needs"."""
    return f"the {' and '.join(names)} {'tower needs' if len(names) == 1 else 'towers need'}"


def without_towers(names: Sequence[str]) -> str:
    """Return the overrides that leave out the towers of these names."""
    return " ".join(f"towers.{name}=null" for name in names)


MISSING_IMAGE = Fault(
    key="data.missing_images",
    summary="without an image",
    count_dropped="items_dropped_missing_image",
    count_blanked="images_blanked_missing",
    blank="a grey image",
)
CORRUPT_IMAGE = Fault(
    key="data.corrupt_images",
    summary="with a corrupt image",
    count_dropped="items_dropped_corrupt_image",
    count_blanked="images_blanked_corrupt",
    blank="a grey image",
)
EMPTY_TITLE = Fault(
    key="data.empty_titles",
    summary="with an empty title",
    count_dropped="items_dropped_empty_title",
    count_blanked="titles_blank",
    blank="an empty text",
)


def empty_text(name: str) -> Fault:
    """Return what an item lacks that has none of a further text."""
    return Fault(
        key="data.empty_texts",
        summary=f"with an empty {name}",
        count_dropped=f"items_dropped_empty_{name}",
        count_blanked=f"texts_blank_{name}",
        blank="an empty text",
    )


@dataclass(kw_only=True)
class Screening:
    """Applies policies one after the other, each to what the ones before left over.

    A policy other than `error` that was consulted has its count, zero included; `error` has none, but notes a mistake
    and drops what is wrong, so that all mistakes are found at once. Who screens asks `mistakes.refuse()` at the end.
    """

    source: DataSource
    histories: HistoryTable
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def mistakes(self) -> Mistakes:
        """What was found so far, by the reader of the tables too."""
        return self.histories.mistakes

    def settle(self, fault: Fault, policy: Policy, faulty: Mapping[int, str]) -> list[int]:
        """Drop or return for blanking the items of `faulty`, whose values are the messages."""
        if policy == "blank":
            if faulty and len(faulty) == len(self.histories.occurring()):
                self.mistakes.note(self._nothing_but_blanks(fault), fault.without)
            self.counts[fault.count_blanked] = len(faulty)
            return list(faulty)
        if policy == "drop":
            self.counts[fault.count_dropped] = len(faulty)
        elif faulty:
            self.mistakes.note(self._refusal(fault, faulty), f"{fault.key}=drop")
        if faulty or policy == "drop":
            self.histories = self.histories.without_items(list(faulty))
            self.settle_short_histories()
        return []

    def settle_short_histories(self) -> None:
        """Drop users whose history is shorter than `minimum_history`, and refuse when no user is left."""
        lengths = self.histories.lengths
        is_short = lengths < self.source.minimum_history
        if self.source.short_histories == "drop":
            key = "users_dropped_short_history"
            self.counts[key] = self.counts.get(key, 0) + int(is_short.sum())
        elif is_short.any():
            self._note_short(np.flatnonzero(is_short))
        longest = int(lengths.max(initial=0))
        self.histories = self.histories.of_users(~is_short)
        if not len(self.histories):
            self.mistakes.refuse(leaves_nobody=True)
            raise DataError(
                f"{self.histories.file}: no user is left: the longest history has {longest} items, "
                f"data.minimum_history={self.source.minimum_history} are needed{self._dropped_before()}"
            )

    def _note_short(self, short: npt.NDArray[np.int64]) -> None:
        """Note users that are short in the file as a mistake, and those that dropping mistakes made so as its price."""
        was_noted, override = bool(self.mistakes), "data.short_histories=drop"
        in_file = self.histories.lengths_in_file[short] < self.source.minimum_history
        if in_file.any() or not was_noted:
            self.mistakes.note(self._short_histories(short[in_file] if was_noted else short), override)
        self.mistakes.imply(override)

    def _nothing_but_blanks(self, fault: Fault) -> str:
        number = len(self.histories.occurring())
        return (
            f"{self.histories.file}: all {number} items are {fault.summary}, and {fault.blank} for each "
            f"would tell none from another: correct where they are looked for, or set {fault.without}"
        )

    def _refusal(self, fault: Fault, faulty: Mapping[int, str]) -> str:
        first = list(faulty.values())[:SHOWN]
        return (
            f"{len(faulty)} of {len(self.histories.occurring())} items {fault.summary}: "
            f"{shortlist(first, total=len(faulty))}; mend the data, or set {fault.key}=drop to remove such items "
            f"from all histories, or {fault.key}=blank to give them {fault.blank}, or {fault.without}, without "
            "which no strategy reads them"
        )

    def _short_histories(self, short: npt.NDArray[np.int64]) -> str:
        table = self.histories
        user, length = short[0], int(table.lengths[short[0]])
        in_file = int(table.lengths_in_file[user])
        found = f"has {length or 'no'} item{'s' * (length != 1)}" if in_file else "is empty"
        if length < in_file:
            found += f" left of {in_file}"
        shortest = int(table.lengths[short].min())
        lower = f" or data.minimum_history={shortest}" if shortest >= LEAST_MINIMUM else ""
        others = f" ({len(short)} such users, lines {shortlist(table.lines[short])})" if len(short) > 1 else ""
        return (
            f"{table.file}:{table.lines[user]}: the history of user {table.interactions.users[user]!r} {found}, "
            f"at least {self.source.minimum_history} are needed{others}{self._dropped_before()}: "
            f"set data.short_histories=drop{lower}"
        )

    def _dropped_before(self) -> str:
        dropped = [f"{name}={count}" for name, count in self.counts.items() if name.startswith("items_") and count]
        return f" after {', '.join(dropped)}" if dropped else ""
