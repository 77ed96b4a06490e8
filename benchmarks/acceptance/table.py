"""The results of all parts as one Markdown table and what it rests on."""

from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Mapping[str, Any]]
_HEAD = ("part", "step", "quartiles", "steps", "users", "memory", "share of the matrix rate", "published", "remark")
_PUBLISHED = "published_"
_RATE = "matrix_rate"


def to_markdown(setting: Mapping[str, Any], results: Results) -> str:
    """Return a row a part; a part that did not end well says why in its last cell."""
    rate = results.get(_RATE, {}).get("operations_per_second")
    rows = [_HEAD, (":--", *["--:"] * (len(_HEAD) - 2), ":--")]
    rows += [_row(name, found, rate) for name, found in results.items()]
    lines = [f"| {' | '.join(_safe(cell) for cell in row)} |" for row in rows]
    said = "; ".join(f"{key} {value}" for key, value in setting.items() if value is not None)
    return "\n".join([*lines, "", f"Setting: {said}.", ""])


def _row(name: str, found: Mapping[str, Any], rate: float | None) -> tuple[str, ...]:
    if found["status"] != "success":
        return (name, *[""] * (len(_HEAD) - 2), f"{found['status']}: {found['reason']}")
    if name.startswith(_PUBLISHED):
        low, high = found["ratio_spread"]
        ratio = (
            f"{_milliseconds(found['published_seconds'])}: {found['ratio']:.2f} times ours ({low:.2f} to {high:.2f})"
        )
        return (name, _milliseconds(found["our_seconds"]), "", str(found["pairs"]), "", "", "", ratio, "")
    if "step_seconds" in found:
        return _step_row(name, found, rate)
    return (name, *[""] * (len(_HEAD) - 2), _remark(name, found))


def _step_row(name: str, found: Mapping[str, Any], rate: float | None) -> tuple[str, ...]:
    low, high = found["step_seconds_quartiles"]
    memory = found["peak_memory_bytes"]
    return (
        name,
        _milliseconds(found["step_seconds"]),
        f"{_milliseconds(low)} to {_milliseconds(high)}",
        str(found["steps"]),
        str(found["users"]),
        "" if memory is None else f"{memory / 2**30:.2f} GiB",
        "" if rate is None else f"{found['operations_per_second'] / rate:.1%}",
        "",
        f"{found['trainable_parameters']:,} trainable",
    )


def _remark(name: str, found: Mapping[str, Any]) -> str:
    if name == _RATE:
        return f"{found['operations_per_second'] / 1e12:.4g} Top/s on {found['device']}"
    return (
        f"{found['items']:,} items in {found['build_seconds']:.1f} s, {found['items_per_second']:,.0f} a second; "
        f"{found['store_bytes'] / 2**20:,.0f} MiB"
    )


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.1f} ms"


def _safe(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
