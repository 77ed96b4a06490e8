"""What is asked of a measurement."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from peftrec.errors import SettingsError

Number = TypeVar("Number", int, float)

When = Literal["auto", "always", "never"]
"""Whether a sweep measures its runs side by side at its end; `auto` does where their own times were disturbed."""
AUTO: Literal["auto"] = "auto"
KEYS = ("rounds", "width", "again", "seed")
FEWEST_ROUNDS = 5
"""Before a measurement may end early: an interval over fewer says nothing (peftrec.results.bootstrap)."""
_EXPECTED = {
    "rounds": f"expected a whole number from {FEWEST_ROUNDS}, as rounds=7",
    "width": "expected how far an interval's ends may be apart, a number from 0, as width=0.1",
    "seed": "expected a whole number from 0, as seed=1",
}


@dataclass(frozen=True, kw_only=True)
class MeasureRequest:
    """How long, and how exactly."""

    folder: Path
    rounds: int = 7
    """At most; fewer where all intervals are narrow enough."""
    width: float = 0.1
    """Of the 95 % interval of each run's ratio to the others: 0.1 where its ends are 10 % apart."""
    again: bool = False
    """Whether to measure what is measured already."""
    seed: int = 1
    """Of the order in which runs take turns."""

    @classmethod
    def of(cls, folder: Path, own: Mapping[str, str], *, again: bool) -> "MeasureRequest":
        """Read the words of the command line. Raises SettingsError for one that has no such value."""
        rounds = _number("rounds", own.get("rounds", str(cls.rounds)), int)
        width = _number("width", own.get("width", str(cls.width)), float)
        seed = _number("seed", own.get("seed", str(cls.seed)), int)
        if rounds < FEWEST_ROUNDS:
            raise SettingsError(
                f"rounds={rounds}: an interval needs {FEWEST_ROUNDS} rounds at least; set rounds={FEWEST_ROUNDS}"
            )
        if not 0 <= width < float("inf"):
            raise SettingsError(f"width={own['width']}: {_EXPECTED['width']}")
        if seed < 0:
            raise SettingsError(f"seed={seed}: {_EXPECTED['seed']}")
        return cls(folder=folder, rounds=rounds, width=width, again=again, seed=seed)


def _number(key: str, text: str, kind: type[Number]) -> Number:
    try:
        return kind(text)
    except ValueError as error:
        raise SettingsError(f"{key}={text}: {_EXPECTED[key]}") from error
