"""How a tuning is done: its budget, who draws, who stops trials early, and which seeds train the chosen settings."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError, counted
from peftrec.measuring.request import When

Seed = Annotated[int, Field(ge=0, lt=2**32)]
Sampler = Literal["random", "tpe"]
Pruner = Literal["halving", "none"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Budget:
    """The same for every strategy, or every combination where user encoders or objectives are listed too; one of the
    two."""

    trials: int | None = Field(default=None, ge=1)
    """Trials of each, the defaults and published settings among them."""
    seconds: float | None = Field(default=None, gt=0)
    """Training seconds of each, without validation; no trial begins after them, and one that has ends."""

    def __post_init__(self) -> None:
        if (self.trials is None) == (self.seconds is None):
            raise SettingsError("budget: give one of budget.trials=20 (for each strategy) and budget.seconds=3600")

    def describe(self) -> str:
        """Say it in a few words."""
        return counted(self.trials, "trial") if self.trials is not None else f"{self.seconds:g} training seconds"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TuneSettings:
    """One tuning, besides the settings that its trials share."""

    budget: Budget
    """What each gets that is compared."""
    final_seeds: tuple[Seed, ...] = Field(default=(1, 2, 3), min_length=1)
    """Seeds that the best setting of each is trained with, anew and as any run."""
    trial_seed: Seed = 0
    """Seed of all trials. None of the final seeds: a seed that had its part in choosing flatters what it chose."""
    sampler: Sampler = "random"
    """Who draws every second trial: `random` as the others, so that all are drawn before the first begins, or Optuna's
    tree-structured Parzen estimator, which looks at those before (Bergstra et al., NeurIPS 2011)."""
    sampler_seed: Seed = 0
    """Seed of what is drawn: the same tuning under another one tries other values."""
    pruner: Pruner = "halving"
    """Whether every second trial may be stopped early, by successive halving on validation (arXiv:1810.05934)."""
    slots: int | None = Field(default=None, ge=1)
    """Trials at a time; null means one for each visible CUDA device, or one."""
    hours: float | None = Field(default=None, gt=0)
    """No trial begins when the command has run so long; those that have end, and the same command goes on."""
    measure: When = "always"
    """Whether the final runs are measured side by side (see `peftrec measure`): `auto` where their own times were
    disturbed."""
    item_knn: bool = True
    """Whether item-kNN, which needs no training, is tuned beside the strategies, by as many trials."""

    def __post_init__(self) -> None:
        if len(set(self.final_seeds)) < len(self.final_seeds):
            raise SettingsError("final_seeds: each seed once")
        if self.trial_seed in self.final_seeds:
            raise SettingsError(
                f"trial_seed={self.trial_seed} is one of final_seeds: the seed that chose a setting flatters it; take "
                f"another, as trial_seed={max(self.final_seeds) + 1}"
            )
