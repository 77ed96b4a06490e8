"""A column of timestamps: numbers as they stand, dates as seconds, and what neither order nor unit can be told of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.global_time import PLAUSIBLE_SECONDS
from peftrec.data.interactions import Times
from peftrec.errors import DataError

NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
WHOLE = r"^-?\d+$"
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
"""How many of each a second has."""
EXACT = 2**53
"""From here on a number with a fraction leaves whole numbers out."""


@dataclass(frozen=True, kw_only=True)
class TimeColumn:
    """A column that holds when something happened."""

    name: str
    column: Any
    """A `pyarrow.ChunkedArray`, without a dictionary."""
    file: Path
    lines: Sequence[int]
    """Line of each row."""

    def read(self) -> Times:
        """Return numbers as they stand, dates as seconds since 1970-01-01 UTC, to the microsecond.

        Raises DataError where a row holds neither, or rows count in different units.
        """
        column = self.column
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = self._parsed()
        if column.null_count:
            raise self._wrong(pc.is_null(column).to_numpy(), "not a number or a date")
        kind = column.type
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy() / 1e6
        if pa.types.is_integer(kind) and kind != pa.uint64():
            return self._of_one_unit(column.cast(pa.int64()).to_numpy())
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise DataError(f"{self.file}: column {self.name!r} holds {kind}, not numbers or dates")
        times = column.cast(pa.float64(), safe=False).to_numpy()
        if not np.isfinite(times).all():
            raise self._wrong(~np.isfinite(times), "not a finite number")
        return self._of_one_unit(times)

    def _parsed(self) -> Any:
        """Read text as numbers or as dates, whichever most rows are, so that a malformed first row is the one named."""
        column = pc.utf8_trim_whitespace(self.column)
        is_number = pc.fill_null(pc.match_substring_regex(column, NUMBER), False).to_numpy()
        if 2 * is_number.sum() >= len(is_number):
            if not is_number.all():
                raise self._wrong(~is_number, "not a number as in other rows")
            return self._numbers(column)
        dates = pd.to_datetime(column.to_pandas(), format="ISO8601", utc=True, errors="coerce")
        if dates.isna().any():
            raise self._wrong(dates.isna().to_numpy(), "not a number or an ISO 8601 date (2024-01-31 12:30:00)")
        return pa.chunked_array([pa.array(dates.dt.tz_localize(None))])

    def _numbers(self, column: Any) -> Any:
        """Return whole numbers, or numbers with fractions where these take nothing from the others."""
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            numbers = column.cast(pa.float64())
        values = numbers.to_numpy()
        if (np.isfinite(values) & (np.abs(values) >= EXACT)).any():
            is_whole = pc.match_substring_regex(column, WHOLE).to_numpy()
            is_cause = ~is_whole if not is_whole.all() else np.abs(values) >= np.iinfo(np.int64).max
            raise self._wrong(
                is_cause,
                f"no whole number of 64 bits, and with a fraction numbers from {EXACT} on cannot be told apart: write "
                "all without fraction and exponent",
            )
        return numbers

    def _of_one_unit(self, times: Times) -> Times:
        """Return the times. Raises DataError where all would be dates of our days, but in more than one unit."""
        least, most = PLAUSIBLE_SECONDS
        if not len(times) or times.min() < least or times.max() < most:
            return times
        in_unit = {name: (times >= least * size) & (times < most * size) for name, size in UNITS.items()}
        counts = {name: int(of_unit.sum()) for name, of_unit in in_unit.items() if of_unit.any()}
        if len(counts) == 1 or sum(counts.values()) < len(times):
            return times
        rarest, usual = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        wrong = f"{rarest} since 1970 by its size, where other rows have {usual}: write all in one unit"
        raise self._wrong(in_unit[rarest], wrong)

    def _wrong(self, is_wrong: npt.NDArray[np.bool_], what: str) -> DataError:
        rows = np.flatnonzero(is_wrong)
        value = self.column[int(rows[0])].as_py()
        others = f" (and {len(rows) - 1} more such rows)" if len(rows) > 1 else ""
        return DataError(f"{self.file}:{self.lines[int(rows[0])]}: {self.name} is {value!r}, {what}{others}")
