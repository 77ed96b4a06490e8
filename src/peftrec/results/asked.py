"""What a user wants to know of differences: which do not matter, and which should be found."""

import math
from dataclasses import dataclass

from peftrec.errors import SettingsError

EXAMPLES = {"margin": "0.005", "wish": "0.003"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Differences of quality, in the metrics' unit: 0.005 is five hits in a thousand users."""

    margin: float | None = None
    """Differences below this one do not matter."""
    wish: float | None = None
    """The difference that should be found; the margin where none is named."""

    @property
    def wished(self) -> float | None:
        return self.margin if self.wish is None else self.wish

    @classmethod
    def read(cls, margin: str | None, wish: str | None) -> "Asked":
        """Read both from a command line. Raises SettingsError for what is no fraction above 0 and below 1."""
        return cls(margin=_fraction("margin", margin), wish=_fraction("wish", wish))


NOTHING = Asked()


def _fraction(key: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise SettingsError(
            f"{key}={text}: expected a difference of hr@10 or ndcg@10, which are fractions: {key}={EXAMPLES[key]}"
        )
    return value
