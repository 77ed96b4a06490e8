"""Why a run's cold targets rank low: what content says of them, and where their scores lie beside those of warm items.

    python benchmarks/cold_targets.py RUN_DIR [KEY=VALUE ...]

Cold items are those that training never saw. The program restores a finished run, ranks every test user's target again,
and prints HR@10 of warm and cold targets

- among all candidates, which is what a report shows,
- among the candidates of their own side alone: cold targets against cold items, warm against warm; chance beside it,
- among all, with the scores of cold items moved for each user to the mean, or to the mean and deviation, of warm ones,
- among all, with one number added to every cold item's score, the number that validation likes best,

for the run and for content neighbours: the mean of a history's vectors of the frozen towers, by cosine, which never
knew what is warm. History is masked as the run masks it.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from peftrec.cold_start.item_vectors import item_vectors
from peftrec.data.split import RankingCases
from peftrec.training.ranking_loader import RankingBatch, ranking_loader
from peftrec.training.run.restored_run import RestoredRun, restore_run

TOP = 10
BLOCK = 512
OFFSETS = np.arange(-1.0, 4.01, 0.25)
"""Tried on validation, in deviations of a user's scores of warm items."""
HISTORY_LENGTHS = (1, 5)

Scorer = Callable[[RankingBatch], torch.Tensor]
Adjustment = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Whether each user's target is among the first TOP."""

    hits: npt.NDArray[np.bool_]
    is_cold: npt.NDArray[np.bool_]

    def rates(self) -> tuple[float, float, float]:
        """Return HR of all, warm and cold targets."""
        return float(self.hits.mean()), float(self.hits[~self.is_cold].mean()), float(self.hits[self.is_cold].mean())


def main() -> None:
    arguments = parsed()
    run = restore_run(arguments.run, arguments.places)
    is_cold = torch.from_numpy(run.split.train_counts == 0)
    describe(run, is_cold)
    with torch.inference_mode():
        catalogue = run.module.encode_catalogue().float().cpu()
        vectors = torch.nn.functional.normalize(item_vectors(run.settings, run.split.items, run.device).cpu(), dim=1)
        describe_embeddings(catalogue, is_cold)
        scorers: dict[str, Scorer] = {run.settings.strategy_name: run_scores(run, catalogue)}
        for length in HISTORY_LENGTHS:
            scorers[f"content neighbours, last {length}"] = content_scores(vectors, length)
        print("\n| scores | ranked | all | warm | cold |\n|---|---|--:|--:|--:|")
        for name, scorer in scorers.items():
            for how, rates in rows(run, scorer, is_cold):
                print(f"| {name} | {how} | {' | '.join(f'{rate:.4f}' for rate in rates)} |", flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("places", nargs="*", help="where data and towers lie now, data.root=DIR")
    return parser.parse_args()


def describe(run: RestoredRun, is_cold: torch.Tensor) -> None:
    """Print how many candidates and targets are cold, and what chance would hit among those of a side."""
    targets = is_cold[torch.from_numpy(run.split.test.targets.astype(np.int64))]
    num_cold = int(is_cold.sum())
    num_warm = len(is_cold) - num_cold
    print(
        f"{run.directory.name}: {len(is_cold):,} candidates, {num_cold:,} cold; {len(targets):,} test users, "
        f"{int(targets.sum()):,} with a cold target; chance among the own side, warm {TOP / num_warm:.4f}, "
        f"cold {TOP / num_cold:.4f}"
    )


def describe_embeddings(catalogue: torch.Tensor, is_cold: torch.Tensor) -> None:
    """Print lengths of embeddings, and how much of each side's is one common direction."""
    for name, rows_ in (("warm", catalogue[~is_cold]), ("cold", catalogue[is_cold])):
        norms = rows_.norm(dim=1)
        common = rows_.mean(dim=0).norm() / norms.mean()
        print(f"{name} embeddings: length {norms.mean():.2f} +- {norms.std():.2f}, common part {common:.2f}")


def run_scores(run: RestoredRun, catalogue: torch.Tensor) -> Scorer:
    def scores(batch: RankingBatch) -> torch.Tensor:
        with run.module.as_for_scoring():
            states = run.module.recommender.last_states(catalogue, batch.sequences, batch.mask, batch.times)
        return states.float() @ catalogue.T

    return scores


def content_scores(vectors: torch.Tensor, length: int) -> Scorer:
    def scores(batch: RankingBatch) -> torch.Tensor:
        known = batch.mask[:, -length:, None]
        profile = (vectors[batch.sequences[:, -length:]] * known).sum(dim=1)
        return profile @ vectors.T

    return scores


def rows(run: RestoredRun, scorer: Scorer, is_cold: torch.Tensor) -> list[tuple[str, tuple[float, float, float]]]:
    """Return how targets were ranked, and the rates."""
    test, validation = run.split.test, run.split.validation
    found = [
        ("among all", hits(run, test, scorer, is_cold).rates()),
        ("among the own side", hits(run, test, scorer, is_cold, own_side=True).rates()),
        ("cold at the warm mean", hits(run, test, scorer, is_cold, adjusted=at_warm_mean).rates()),
        ("cold at the warm mean and deviation", hits(run, test, scorer, is_cold, adjusted=at_warm_scale).rates()),
    ]

    def all_with(offset: float) -> float:
        return hits(run, validation, scorer, is_cold, adjusted=moved(offset)).rates()[0]

    best = max(OFFSETS.tolist(), key=all_with)
    chosen = hits(run, test, scorer, is_cold, adjusted=moved(best)).rates()
    return [*found, (f"cold {best:+.2f} deviations, by validation", chosen)]


def at_warm_mean(scores: torch.Tensor, is_cold: torch.Tensor) -> torch.Tensor:
    warm, cold = scores[:, ~is_cold], scores[:, is_cold]
    scores[:, is_cold] = cold - cold.mean(dim=1, keepdim=True) + warm.mean(dim=1, keepdim=True)
    return scores


def at_warm_scale(scores: torch.Tensor, is_cold: torch.Tensor) -> torch.Tensor:
    warm, cold = scores[:, ~is_cold], scores[:, is_cold]
    standard = (cold - cold.mean(dim=1, keepdim=True)) / cold.std(dim=1, keepdim=True)
    scores[:, is_cold] = standard * warm.std(dim=1, keepdim=True) + warm.mean(dim=1, keepdim=True)
    return scores


def moved(offset: float) -> Adjustment:
    def adjusted(scores: torch.Tensor, is_cold: torch.Tensor) -> torch.Tensor:
        scores[:, is_cold] += offset * scores[:, ~is_cold].std(dim=1, keepdim=True)
        return scores

    return adjusted


def hits(
    run: RestoredRun,
    cases: RankingCases,
    scorer: Scorer,
    is_cold: torch.Tensor,
    *,
    own_side: bool = False,
    adjusted: Adjustment | None = None,
) -> Hits:
    """Rank each target, ties against it, the history masked but for the target where the run leaves that."""
    found = []
    targets_cold = is_cold[torch.from_numpy(cases.targets.astype(np.int64))]
    for batch in ranking_loader(cases, sequence_length=run.split.sequence_length, block=BLOCK):
        scores = scorer(batch)
        if adjusted is not None:
            scores = adjusted(scores, is_cold)
        each = torch.arange(len(batch.targets))
        target = scores[each, batch.targets].clone()
        scores[batch.seen.users, batch.seen.items] = -torch.inf
        scores[each, batch.targets] = -torch.inf
        if own_side:
            scores[is_cold[None, :] != targets_cold[batch.users][:, None]] = -torch.inf
        rank = 1 + (scores >= target[:, None]).sum(dim=1)
        is_hit = rank <= TOP
        if run.settings.evaluation.mask_history == "all":
            repeated = batch.seen.users[batch.seen.items == batch.targets[batch.seen.users]]
            is_hit[repeated] = False
        found.append(is_hit)
    return Hits(hits=torch.cat(found).numpy(), is_cold=targets_cold.numpy())


if __name__ == "__main__":
    main()
