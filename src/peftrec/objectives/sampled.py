"""Objectives that score against items which are drawn for a batch."""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.choices import Competitors
from peftrec.objectives.base import Objective


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SampledObjective(Objective):
    """What is drawn is drawn once for a batch, without replacement, and all its positions share it: papers that draw
    for each position anew would have live towers encode so many items more. Items of a user's own window are none of
    its negatives, whether they were drawn or stand in the batch."""

    negatives: int = Field(default=256, ge=1)
    """Items drawn for each batch."""
    drawn: Literal["uniform", "popularity"] = "uniform"
    """Evenly from the catalogue, or by their share of the training interactions."""
    with_batch: bool = False
    """Whether the items of the batch's other users are negatives as well (mixed negative sampling, Yang et al., WWW
    2020)."""

    @property
    def draws_in_training(self) -> bool:
        return False  # the loader draws, the same in every process

    def competitors(self) -> Competitors:
        return Competitors(
            kind="sampled",
            number=self.negatives,
            by_popularity=self.drawn == "popularity",
            with_batch=self.with_batch,
        )
