"""Final figures of a run: every test user ranked once, from the chosen checkpoint."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.data.split import RankingCases, Split
from peftrec.evaluation.baselines import BaselineCases, item_knn_baseline, popularity_baseline, random_baseline
from peftrec.evaluation.item_knn import UserItemMatrix, user_item_matrix
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.evaluation.segments import segment_masks, segment_metrics
from peftrec.results.costs import Metrics
from peftrec.results.record import Evaluation
from peftrec.settings.run import EvaluationSettings, Settings
from peftrec.training.building.loaders import evaluation_block
from peftrec.training.module import RecommenderModule
from peftrec.training.ranking_loader import ranking_loader


@dataclass(frozen=True, kw_only=True)
class UserRanks:
    """Outcome per user, in the order of the cases."""

    ranks: npt.NDArray[np.int64]
    is_unreachable: npt.NDArray[np.bool_]


@torch.inference_mode()
def encoded_candidates(module: RecommenderModule) -> Float[Tensor, "candidate dim"]:
    """Embed all candidates in evaluation mode; every one of several processes calls it."""
    module.eval()
    return module.encode_catalogue()


@torch.inference_mode()
def rank_users(
    module: RecommenderModule,
    cases: RankingCases,
    *,
    sequence_length: int,
    block: int,
    reads_times: bool = False,
    catalogue: Float[Tensor, "candidate dim"] | None = None,
) -> UserRanks:
    """Rank every user's target with the module's current parameters, in evaluation mode, over the module's own
    embeddings of all candidates or those given.

    Several processes share the blocks of users, and each gets the ranks of all.
    """
    module.eval()
    if catalogue is None:
        catalogue = module.encode_catalogue()
    for batch in ranking_loader(
        cases, sequence_length=sequence_length, block=block, processes=module.processes, reads_times=reads_times
    ):
        module.rank_block(catalogue, batch.to(module.device))
    ranks, is_unreachable = module.ranks.take()
    return UserRanks(ranks=ranks, is_unreachable=is_unreachable)


def evaluate_test(
    module: RecommenderModule,
    settings: Settings,
    split: Split,
    *,
    validation: Metrics,
    catalogue: Float[Tensor, "candidate dim"] | None = None,
) -> tuple[Evaluation, UserRanks]:
    """Score the test set with the module's current parameters, and the baselines beside it; `catalogue` is what they
    make of the candidates, where somebody has encoded them already."""
    cases = split.test
    ranked = rank_users(
        module,
        cases,
        sequence_length=split.sequence_length,
        block=evaluation_block(settings.evaluation, len(split.items)),
        reads_times=settings.user_encoder.reads_times,
        catalogue=catalogue,
    )
    masks = segment_masks(split.train_counts, cases.targets, np.diff(cases.histories.offsets))
    evaluation = Evaluation(
        test=ranking_metrics(ranked.ranks, ranked.is_unreachable),
        test_segments=segment_metrics(ranked.ranks, ranked.is_unreachable, masks),
        validation=validation,
        baselines=baselines_of(split, settings.evaluation, ranked, seed=settings.seed),
    )
    return evaluation, ranked


def baselines_of(split: Split, evaluation: EvaluationSettings, ranked: UserRanks, *, seed: int) -> dict[str, Metrics]:
    """Return what needs no training, on the test users."""
    cases = baseline_cases(split, split.test, evaluation)
    return {
        "popularity": popularity_baseline(split.train_counts, cases),
        "item_knn": item_knn_baseline(training_matrix(split), cases),
        "random": random_baseline(len(split.items), ranked.is_unreachable, seed=seed),
    }


def baseline_cases(split: Split, cases: RankingCases, evaluation: EvaluationSettings) -> BaselineCases:
    """Return the users of a part of the split as baselines take them."""
    return BaselineCases(
        targets=cases.targets,
        history_items=cases.histories.items,
        history_offsets=cases.histories.offsets,
        num_candidates=len(split.items),
        mask_history=evaluation.mask_history,
        max_score_bytes=evaluation.max_score_bytes,
    )


def training_matrix(split: Split) -> UserItemMatrix:
    """Return who interacted with what in the windows that every method is trained on."""
    names = np.array(split.windows.users)
    users = np.cumsum(np.append(False, names[1:] != names[:-1]))  # the windows of a user stand together
    owners = users[split.windows.owners()]
    return user_item_matrix(owners, split.windows.items, num_users=len(split.windows), num_items=len(split.items))
