"""What `conf/profiles` composes."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.profiles.base import Profile
from peftrec.profiles.neighbours import NeighbourSearch


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ProfileSettings:
    """How a history becomes queries, and how their neighbours are found."""

    profile: Profile
    neighbours: NeighbourSearch
    day_length: float = Field(default=86400.0, gt=0)
    """A day in the unit of the data's timestamps: 86400 for seconds, 86400000 for milliseconds, 1 for days."""
    seed: int = Field(default=1, ge=0)
    """Decides which interests are drawn."""
