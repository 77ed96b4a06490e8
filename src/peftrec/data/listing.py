"""How messages list many things: the first few, then a count."""

from collections.abc import Iterable

SHOWN = 3


def shortlist(things: Iterable[object], total: int | None = None) -> str:
    """Return `a, b, c and 12 more`; `things` need not hold more than the first few when `total` is given."""
    listed = [str(thing) for thing in things]
    count = len(listed) if total is None else total
    shown = ", ".join(listed[:SHOWN])
    return shown if count <= SHOWN else f"{shown} and {count - SHOWN} more"
