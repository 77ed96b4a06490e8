"""A global time split: one moment, the same for all users, parts training from validation, and one test.

Leave-one-out trains on what other users did after a target (Ji et al., arXiv:2010.11060), and that can change which
model wins (Gusak et al., RecSys 2025, arXiv:2507.16289). Here nothing from at or after the start of validation
trains. Of the targets that the latter paper compares, this takes the first: a user's first interaction in the
validation period is its validation target, the first in the test period its test target, and the history is all that
the user did before, so that no history has a gap. A user without such a target, or without a history, is not ranked
there but trains; an item that occurs only later is a candidate still.
"""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from peftrec.data.interactions import Interactions, Times, offsets_of
from peftrec.data.source import DataSource, Moment
from peftrec.errors import DataError

PLAUSIBLE_SECONDS = (10**8, 10**10)
"""Seconds since 1970 from 1973 to 2286."""


def times_of(interactions: Interactions) -> Times:
    """Return the timestamps. Raises DataError where there are none."""
    if interactions.times is None:
        raise DataError(
            "data.split=global_time needs timestamps and this data has none: name their column (data.timestamp_column "
            "of data=table, data.time_field of data=recbole), or set data.split=leave_one_out"
        )
    return interactions.times


def starts_of_periods(times: Times, source: DataSource) -> tuple[Moment, Moment]:
    """Return when validation and test start: as configured, or so that they hold their shares (ties: or more)."""
    if source.validation_from is not None and source.test_from is not None:
        return source.validation_from, source.test_from
    places = [
        min(round((1 - share) * len(times)), len(times) - 1)
        for share in (source.validation_share + source.test_share, source.test_share)
    ]
    validation, test = np.partition(times, places)[places].tolist()
    return validation, test


def first_places_from(interactions: Interactions, moment: Moment) -> npt.NDArray[np.int64]:
    """Return, for each user, the place in the flat array of the first interaction at or after `moment`."""
    earlier = offsets_of(times_of(interactions) < moment)
    offsets = interactions.offsets
    return offsets[:-1] + earlier[offsets[1:]] - earlier[offsets[:-1]]


def refuse_empty_period(
    name: str, number: int, times: Times, source: DataSource, start: Moment, end: Moment | None = None
) -> None:
    """Raise DataError where no user is ranked in a period."""
    if not number:
        period = f"from {start}" if end is None else f"from {start} to before {end}"
        raise DataError(
            f"no user has a first interaction in the {name} period ({period}) and a history before it: "
            f"{_remedy(times, source)}"
        )


def refuse_empty_training(number: int, times: Times, source: DataSource, end: Moment) -> None:
    """Raise DataError where no user has two interactions to train on."""
    if not number:
        raise DataError(f"no user has two interactions before {end}, where validation starts: {_remedy(times, source)}")


def _remedy(times: Times, source: DataSource) -> str:
    first, last = times.min().item(), times.max().item()
    span = f"from {first} to {last}{_dates(first, last)}"
    if source.validation_from is None:
        return (
            "choose other data.validation_share and data.test_share, or give data.validation_from and data.test_from; "
            f"the timestamps go {span}"
        )
    return f"give data.validation_from and data.test_from in the unit of the timestamps, which go {span}"


def _dates(first: Moment, last: Moment) -> str:
    """Say which days two timestamps would be, in the unit that puts both between 1973 and 2286."""
    for unit, size in (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6)):
        if PLAUSIBLE_SECONDS[0] <= first / size and last / size < PLAUSIBLE_SECONDS[1]:
            days = [datetime.fromtimestamp(moment / size, UTC).date().isoformat() for moment in (first, last)]
            return f" ({days[0]} to {days[1]} if these are {unit} since 1970)"
    return ""
