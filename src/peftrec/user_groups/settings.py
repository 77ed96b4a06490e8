"""How the users of a finished run are divided into groups, and how long each group's part is trained."""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.roles import Place
from peftrec.config.strict import STRICT

Negatives = Literal["objective", "group"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GroupsSettings:
    """All else is the run's own: data, strategy, objective, learning rates, batch size, patience, seed of the order."""

    run: Place[str]
    """Folder of a finished run, whose weights every group starts from."""
    number: int = Field(default=8, ge=1)
    """Groups; the published code's 8. One is the run itself trained on, without its user encoder: what the same number
    of further epochs brings without groups."""
    seed: int = Field(default=1, ge=0, lt=2**32)
    """Of the clusters."""
    epochs: int = Field(default=20, ge=1)
    """Epochs of each group at most, the published code's 20; the run's `evaluation.patience` may stop earlier."""
    negatives: Negatives = "objective"
    """Where an objective takes from what it puts beside a batch: as it says, or, as the published code does, from items
    that the group's training histories hold. What stands in a batch is of the group either way."""
