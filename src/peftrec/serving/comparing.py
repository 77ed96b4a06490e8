"""PinnerSage's offline retrieval on the histories and embeddings of a finished run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from peftrec.data.split import Periods
from peftrec.profiles.base import unit_rows
from peftrec.profiles.evaluation import Outcome, Protocol, evaluate
from peftrec.profiles.lifts import lift_cells, lift_rows, read_published
from peftrec.profiles.neighbours import ComparedIndex, ExactIndex
from peftrec.profiles.settings import ProfileSettings
from peftrec.progress.terminal import aligned
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.serving.user_histories import UserHistories
from peftrec.training.run.restored_run import restore_run

BASELINE = "last_item"
"""Profile that lifts are taken over, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class RetrievalTable:
    """What each profile reached, and under which protocol."""

    run: str
    num_items: int
    protocol: Protocol
    outcomes: dict[str, Outcome]
    neighbour_recall: float | None
    """Share of the exact neighbours that an approximate search found, over all queries of all profiles; None where the
    search is exact."""
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        some = next(iter(self.outcomes.values()))
        rows = lift_rows(self.outcomes, BASELINE, seed=self.seed)
        return {
            "run": self.run,
            "num_items": self.num_items,
            "protocol": asdict(self.protocol),
            "num_users": some.num_users,
            "num_users_left_out": some.num_users_left_out,
            "num_days": some.num_days,
            "num_targets": some.num_targets,
            "neighbour_recall": self.neighbour_recall,
            "published": read_published().source,
            "profiles": [{name: _plain(value) for name, value in row.items()} for row in rows],
        }

    def to_text(self) -> str:
        """Return the table with what it rests on below it."""
        rows = [lift_cells(row) for row in lift_rows(self.outcomes, BASELINE, seed=self.seed)]
        some, published = next(iter(self.outcomes.values())), read_published()
        recall = self.neighbour_recall
        neighbours = "exact" if recall is None else f"approximate, {recall:.2%} of the exact ones found"
        return (
            f"{aligned([list(rows[0]), *(list(row.values()) for row in rows)])}\n\n"
            f"{some.num_users:,} users, {some.num_days:,} days{self._first_day_text()}, {some.num_targets:,} actions "
            f"predicted; {some.num_users_left_out:,} users without a day after another one left out\n"
            f"{self._candidates_text()}; relevant from cosine {self.protocol.threshold}; neighbours: {neighbours}\n"
            "lift over last_item: mean over users and draws ± deviation between draws [95 % of bootstrap samples of "
            f"users]\npublished: {published.source}; {published.setting}\n"
        )

    def _first_day_text(self) -> str:
        day = self.protocol.first_day
        return "" if day is None else f" from day {day:.15g} on"

    def _candidates_text(self) -> str:
        budget, items = self.protocol.budget, self.num_items
        if budget >= items:
            return f"a budget of {budget:,} items a day, which is no limit for {items:,} items"
        return f"at most {budget:,} of {items:,} items a day ({budget / items:.1%})"


def compare_profiles(
    run_directory: Path, settings: Mapping[str, ProfileSettings], protocol: Protocol, places: Sequence[str] = ()
) -> RetrievalTable:
    """Evaluate each profile on the same users, days and embeddings; `settings` share all but the profile.

    Raises DataError where the run's data has no timestamps, and what restoring a run raises.
    """
    shared = next(iter(settings.values()))
    run = restore_run(run_directory, places)
    if protocol.first_day is None and run.split.periods is not None:
        protocol = replace(protocol, first_day=first_whole_day(run.split.periods, shared.day_length))
    histories = [history for _, history in UserHistories.of(run, day_length=shared.day_length)]
    for history in histories[:1]:
        history.known_days()
    catalogue = unit_rows(ServedCatalogue.of(run).embeddings)
    index = shared.neighbours.index(catalogue)
    if not isinstance(index, ExactIndex):
        index = ComparedIndex(index, ExactIndex(catalogue))
    outcomes = {
        name: evaluate(each.profile, histories, catalogue, index, protocol, seed=each.seed)
        for name, each in settings.items()
    }
    return RetrievalTable(
        run=str(run_directory),
        num_items=len(catalogue),
        protocol=protocol,
        outcomes=outcomes,
        neighbour_recall=index.recall() if isinstance(index, ComparedIndex) else None,
        seed=shared.seed,
    )


def first_whole_day(periods: Periods, day_length: float) -> float:
    """Return the first day that lies in the test period from its beginning."""
    return float(math.ceil(periods.test_from / day_length))


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value
