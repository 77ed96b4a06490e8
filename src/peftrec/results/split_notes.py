"""One sentence on how a record's data was split: by which rule, when its periods start, and whom each part leaves."""

from collections.abc import Mapping

from pydantic import JsonValue

from peftrec.results.record import DataSummary, Record

KEPT_BESIDE_INPUTS = 3  # under windows=last: the last training target, and the two that are held out


def split_text(record: Record) -> str:
    """Return the sentence; what a record does not hold, it leaves out."""
    found = record.config.get("data")
    source = found if isinstance(found, Mapping) else {}
    rule = source.get("split", "not recorded")
    if rule == "leave_one_out":
        return f"Split: leave one out{_of_users(record.data)}; {_each_users_items(source)}."
    if rule == "global_time":
        return f"Split: by time, the same moments for all users{_periods(record.data)}."
    return f"Split: {rule}."


def _of_users(data: DataSummary | None) -> str:
    return "" if data is None else f" for each of {data.num_users:,} users"


def _each_users_items(source: Mapping[str, JsonValue]) -> str:
    windows, length = source.get("windows"), source.get("sequence_length")
    kept = ""
    if windows == "all":
        kept = " of their whole history"
    elif windows == "last" and isinstance(length, int):
        kept = f" of their last {length + KEPT_BESIDE_INPUTS}"
    return f"the last item tests, the last but one validates, the others{kept} train"


def _periods(data: DataSummary | None) -> str:
    if data is None:
        return ""
    moments = {name: "" if at is None else f" ({at:.15g})" for name, at in _starts(data).items()}
    counts = data.counts
    trained, validated = (_users(counts, name) for name in ("users_in_training", "users_ranked_in_validation"))
    return (
        f". What is before validation{moments['validation']} trains{trained}; a user's first item from then to before "
        f"the test{moments['test']} validates{validated}, the first from then on tests ({data.num_users:,} users). "
        f"Without a history before it, {counts.get('users_without_history_in_validation', 0):,} users are not ranked "
        f"in validation and {counts.get('users_without_history_in_test', 0):,} not in test"
    )


def _starts(data: DataSummary) -> dict[str, int | float | None]:
    return {"validation": data.validation_from, "test": data.test_from}


def _users(counts: Mapping[str, int], name: str) -> str:
    return f" ({counts[name]:,} users)" if name in counts else ""
