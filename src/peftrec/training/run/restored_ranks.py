"""Ranks of a restored run's users over a catalogue in place of its own."""

from jaxtyping import Float
from torch import Tensor

from peftrec.data.split import RankingCases
from peftrec.training.building.loaders import evaluation_block
from peftrec.training.run.restored_run import RestoredRun
from peftrec.training.run.scoring import UserRanks, rank_users


def rank_over(run: RestoredRun, cases: RankingCases, catalogue: Float[Tensor, "candidate dim"]) -> UserRanks:
    """Rank every user's target over a catalogue in place of the run's own; histories are read through it as well."""
    return rank_users(
        run.module,
        cases,
        sequence_length=run.split.sequence_length,
        block=evaluation_block(run.settings.evaluation, len(run.split.items)),
        reads_times=run.settings.user_encoder.reads_times,
        catalogue=catalogue,
    )
