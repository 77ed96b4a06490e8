"""Ids and times of every type that a table may hold."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from peftrec.data.tables.columns import Columns
from peftrec.errors import DataError

FILE = Path("table.parquet")


def columns_of(values: Any, kind: Any = None) -> Columns:
    """Return one column `x` of two chunks, whose rows stand in the lines 11, 12, ..."""
    array = values if isinstance(values, pa.Array) else pa.array(values, type=kind)
    middle = len(array) // 2
    return Columns(
        file=FILE,
        columns={"x": pa.chunked_array([array[:middle], array[middle:]])},
        lines=range(11, 11 + len(array)),
    )


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["b", "a", "b", "c"], pa.string(), ["b", "a", "b", "c"]),
        (["b", "a", "b", "c"], pa.large_string(), ["b", "a", "b", "c"]),
        ([3, 1, 3, -2], pa.int64(), ["3", "1", "3", "-2"]),
        ([3, 1, 3, 2**64 - 1], pa.uint64(), ["3", "1", "3", "18446744073709551615"]),
        ([3.0, 1.0, 3.0, 1e15], pa.float64(), ["3", "1", "3", "1000000000000000"]),
        ([" a", "a ", "NA", "nan"], pa.string(), [" a", "a ", "NA", "nan"]),
    ],
)
def test_ids_are_text(values: Any, kind: Any, expected: list[str]) -> None:
    encoded = columns_of(values, kind).ids("x")
    assert list(encoded.rows()) == expected
    assert encoded.names == list(dict.fromkeys(expected))
    assert encoded.codes.dtype == np.int32


def test_dictionaries_of_chunks_that_differ_are_one() -> None:
    chunks = [pa.array(["b", "a"]).dictionary_encode(), pa.array(["a", "c", "b"]).dictionary_encode()]
    columns = Columns(file=FILE, columns={"x": pa.chunked_array(chunks)}, lines=range(5))
    assert columns.ids("x").rows() == ("b", "a", "a", "c", "b")


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["a", None, "b", None], pa.string(), r"table\.parquet:12: x is empty \(and 1 more such rows\)"),
        (["a", "b", "\t ", "c"], pa.string(), r"table\.parquet:13: x is empty: fill it in"),
        ([1.0, None, 2.0, 3.0], pa.float64(), r"table\.parquet:12: x is empty"),
        ([1.0, 2.0, float("nan"), 3.0], pa.float64(), r"table\.parquet:13: x is empty"),
        ([1.0, 2.0, 2.0, 1.5], pa.float64(), r"table\.parquet:14: x is 1\.5, and an id is text or a whole number"),
        ([1.0, 1e300, 2.0, 3.0], pa.float64(), r"table\.parquet:12: x is 1e\+300"),
        (
            [1.0, 2.0**53, 2.0, 3.0],
            pa.float64(),
            r"table\.parquet:12: x is 9007199254740992\.0, .* below 900719",
        ),
        ([1.0, -(2.0**53), 2.0, 3.0], pa.float64(), r"table\.parquet:12: x is -9007199254740992\.0"),
        (
            [1.0, 2.0**24, 2.0, 3.0],
            pa.float32(),
            r"table\.parquet:12: x is 16777216\.0, and float tells .* as int",
        ),
        ([True, False, True, True], pa.bool_(), r"table\.parquet: column 'x' holds bool, and ids are text"),
    ],
)
def test_bad_ids_name_their_row(values: Any, kind: Any, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        columns_of(values, kind).ids("x")


def test_whole_numbers_that_their_type_tells_apart_are_ids() -> None:
    columns = columns_of([2.0**53 - 1, 2.0**53 - 2, 1.0, 2.0], pa.float64())
    assert columns.ids("x").rows() == ("9007199254740991", "9007199254740990", "1", "2")


SECONDS = datetime(2024, 1, 31, 12, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("values", "kind", "expected", "dtype"),
    [
        (["1", " 20", "-3"], pa.string(), [1, 20, -3], np.int64),
        (["1", "2.5", "1e3"], pa.string(), [1, 2.5, 1000], np.float64),
        ([".5", "5.", "9007199254740991"], pa.string(), [0.5, 5, 2.0**53 - 1], np.float64),
        ([1, 2, 3], pa.int32(), [1, 2, 3], np.int64),
        ([1, 2, 2**64 - 1], pa.uint64(), [1, 2, 2.0**64], np.float64),
        ([1.5, 2.0, 3.0], pa.float32(), [1.5, 2, 3], np.float64),
        ([Decimal("1.5"), Decimal(2), Decimal(3)], pa.decimal128(10, 2), [1.5, 2, 3], np.float64),
        (["2024-01-31T12:30:00.000000001", "2024-01-31 12:30:00.0000009", "1970-01-01"], pa.string(),
         [SECONDS, SECONDS, 0], np.float64),
        ([10**9, 2 * 10**9, 10**8], pa.int64(), [10**9, 2 * 10**9, 10**8], np.int64),
        ([10**9, 10**12, 5], pa.int64(), [10**9, 10**12, 5], np.int64),  # no dates of our days: no unit is known
        (["1970-01-01", "1970-01-02", "2024-01-31 12:30:00"], pa.string(), [0, 86400, SECONDS], np.float64),
        (["2024-01-31T12:30:00Z", "2024-01-31T14:30+02:00", "1970-01-01T00:00:00.25Z"], pa.string(),
         [SECONDS, SECONDS, 0.25], np.float64),
        ([date(1970, 1, 1), date(1970, 1, 2), date(1970, 1, 3)], pa.date32(), [0, 86400, 172800], np.float64),
        ([datetime(2024, 1, 31, 12, 30)] * 3, pa.timestamp("ns"), [SECONDS] * 3, np.float64),
        ([datetime(2024, 1, 31, 12, 30)] * 3, pa.timestamp("s", tz="Europe/Berlin"), [SECONDS] * 3, np.float64),
    ],
)  # fmt: skip
def test_times_are_numbers(values: Any, kind: Any, expected: list[float], dtype: Any) -> None:
    if kind == pa.timestamp("s", tz="Europe/Berlin"):
        array = pa.array(values, type=pa.timestamp("s")).cast(kind)  # the moment is UTC's, the zone how it is shown
    else:
        array = pa.array(values, type=kind)
    times = columns_of(array).times("x")
    assert times.dtype == dtype
    assert times.tolist() == expected


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", "2", "2024-01-31"], pa.string(), r"table\.parquet:13: x is '2024-01-31', not a number as in other"),
        (["2024-01-31", "5", "x"], pa.string(), r":12: x is '5', not a number or an ISO 8601 date .* \(and 1 more"),
        (["soon", "2", "3"], pa.string(), r"table\.parquet:11: x is 'soon', not a number as in other rows$"),
        (["5", "2024-01-31", "2024-02-01"], pa.string(), r"\.parquet:11: x is '5', not a number or an ISO 8601 date"),
        (["1700000000000000001", "1700000000000000002.5", "17"], pa.string(), r":12: x is '17.*2\.5', no whole number"),
        (["1", "18446744073709551615", "3"], pa.string(), r"table\.parquet:12: x is '184.*', no whole number of 64"),
        ([1700000000, 1700000000001, 1700000003], pa.int64(), r":12: x is 1700000000001, milliseconds .* have seconds"),
        (["1700000000", "1700000000000001", "1700000000000002"], pa.string(), r":11: x is .*, seconds .*microseconds"),
        ([1.7e9, 1.7e9, 1.7e18], pa.float64(), r":13: x is 1.7e\+18, nanoseconds since 1970 by its size, .* seconds:"),
        ([1, None, 3], pa.int64(), r"table\.parquet:12: x is None, not a number or a date"),
        (["1", None, "3"], pa.string(), r"table\.parquet:12: x is None, not a number as in other rows"),
        ([1.0, 2.0, float("inf")], pa.float64(), r"table\.parquet:13: x is inf, not a finite number"),
        ([[1], [2], [3]], pa.list_(pa.int64()), r"table\.parquet: column 'x' holds list<.*>, not numbers or dates"),
    ],
)
def test_bad_times_name_their_row(values: Any, kind: Any, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        columns_of(values, kind).times("x")


def test_texts() -> None:
    assert columns_of(["a", None, "b"]).texts("x") == ["a", "", "b"]
    assert columns_of([1.5, None, 2.0]).texts("x") == ["1.5", "", "2"]
    with pytest.raises(DataError, match="column 'x' holds list"):
        columns_of([[1], [2], [3]]).texts("x")
