"""How large the batches of a run are: drawn as training draws them where the data is at hand, else expected."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from peftrec.data.competing import Competition
from peftrec.data.interactions import Interactions
from peftrec.data.loading import EpochOrder, pad_left
from peftrec.data.negatives import negatives_per_positive
from peftrec.data.split import EXTRA, HELD_OUT
from peftrec.models.towers.names import TowerName
from peftrec.planning.request import DataSize
from peftrec.settings.run import Settings

_MOST_BATCHES = 2000
"""Batches of an epoch that are looked at; more change a mean by less than its last digit shown."""


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """What decides a step's cost, besides the model."""

    num_users: int
    num_items: int
    """Distinct items."""
    title_tokens: Mapping[TowerName, int] = field(default_factory=dict, hash=False)
    """Tokens of the longest title that each text tower reads."""
    num_positions: int = 1
    """Places whose input item is not padding; they decide a step's cost where they alone are scored."""


@dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """The batches of an epoch."""

    num_steps: int
    first: BatchShape
    """Of the first epoch: the batch whose cost a record holds."""
    mean: BatchShape
    largest: BatchShape
    """Every size at its largest, whether in one batch or not."""
    negatives_per_positive: float
    """As in a record."""


@dataclass(frozen=True, kw_only=True)
class Workload(ABC):
    """A data set as a plan sees it."""

    num_items: int
    sequence_length: int
    mean_tokens: Mapping[TowerName, float]
    """Tokens of a mean title of each text tower: what building a store encodes, as its batches are sorted by length."""
    origin: str
    """Where the sizes come from, and what they are: equal for equal data."""
    caveats: tuple[str, ...] = ()
    """What the sizes take for granted."""

    @abstractmethod
    def batches(self, settings: Settings) -> BatchSizes:
        """Return the sizes of one epoch's batches."""

    @property
    @abstractmethod
    def num_windows(self) -> int:
        """Training windows, of which each is in one batch of an epoch."""


@dataclass(frozen=True, kw_only=True)
class MeasuredWorkload(Workload):
    """Batches are drawn and counted; nothing of an item but its title's length is read."""

    windows: Interactions
    title_lengths: Mapping[TowerName, npt.NDArray[np.int64]]
    """Tokens of each item's title, for each text tower that titles are read by."""
    train_counts: npt.NDArray[np.int64]
    """Training interactions of each item."""

    @property
    def num_windows(self) -> int:
        return len(self.windows)

    def batches(self, settings: Settings) -> BatchSizes:
        order = EpochOrder(
            self.num_windows,
            batch_size=settings.batch_size,
            seed=settings.seed,
            max_batches=settings.trainer.max_steps_per_epoch,
            overfit_batches=settings.trainer.overfit_batches,
        )
        length = self.sequence_length + 1
        competition = Competition(
            competitors=settings.objective.competitors(), train_counts=self.train_counts, seed=settings.seed
        )
        shapes: list[BatchShape] = []
        for _, rows in zip(range(_MOST_BATCHES), order, strict=False):
            items, mask = pad_left(self.windows, rows, length)
            distinct = np.union1d(items[mask], competition.beside(rows))
            tokens = {name: int(lengths[distinct].max()) for name, lengths in self.title_lengths.items()}
            shapes.append(
                BatchShape(
                    num_users=len(rows),
                    num_items=len(distinct),
                    title_tokens=tokens,
                    num_positions=int(mask[:, :-1].sum()),
                )
            )
        return BatchSizes(
            num_steps=len(order),
            first=shapes[0],
            mean=_over(shapes, lambda values: round(float(np.mean(values)))),
            largest=_over(shapes, lambda values: int(np.max(values))),
            negatives_per_positive=negatives_per_positive(self.windows, order, length=length, competition=competition),
        )


def _over(shapes: list[BatchShape], summarise: Callable[[list[int]], int]) -> BatchShape:
    return BatchShape(
        num_users=summarise([shape.num_users for shape in shapes]),
        num_items=summarise([shape.num_items for shape in shapes]),
        num_positions=summarise([shape.num_positions for shape in shapes]),
        title_tokens={
            name: summarise([shape.title_tokens[name] for shape in shapes]) for name in shapes[0].title_tokens
        },
    )


@dataclass(frozen=True, kw_only=True)
class ExpectedWorkload(Workload):
    """Every user has the mean number of items, and every item is as popular as another: no popularity makes the
    expected number of distinct items larger."""

    size: DataSize
    windows: str

    @property
    def _window(self) -> tuple[int, float]:
        """Windows of a user, and their mean length."""
        history = self.size.interactions / self.size.users
        if self.windows == "last":
            return 1, min(history, self.sequence_length + EXTRA) - HELD_OUT
        transitions = history - HELD_OUT - 1  # windows overlap by one item: each transition is a target once
        number = math.ceil(transitions / self.sequence_length)
        return number, transitions / number + 1

    @property
    def num_windows(self) -> int:
        return self.size.users * self._window[0]

    def batches(self, settings: Settings) -> BatchSizes:
        users = min(settings.batch_size, self.num_windows)
        _, length = self._window
        distinct = self.num_items * -math.expm1(users * length * math.log1p(-1 / self.num_items))
        competitors = settings.objective.competitors()
        drawn = {"batch": 0, "sampled": competitors.number, "catalogue": self.num_items}[competitors.kind]
        share = min(1.0, drawn / self.num_items)
        pool = distinct + share * (self.num_items - distinct)
        tokens = {name: math.ceil(mean) for name, mean in self.mean_tokens.items()}
        shape = BatchShape(
            num_users=users,
            num_items=max(1, round(pool)),
            title_tokens=tokens,
            num_positions=round(users * (length - 1)),
        )
        limits = (
            math.ceil(self.num_windows / settings.batch_size),
            settings.trainer.max_steps_per_epoch,
            settings.trainer.overfit_batches,
        )
        return BatchSizes(
            num_steps=min(limit for limit in limits if limit is not None),
            first=shape,
            mean=shape,
            largest=shape,
            negatives_per_positive=max(0.0, (pool if competitors.with_batch else share * self.num_items) - length),
        )
