"""Why a run's cold targets rank low: what content says of them, and where their scores lie beside those of warm items.

    python benchmarks/cold_targets.py RUN_DIR [KEY=VALUE ...]

Cold items are those that training never saw. The program restores a finished run, ranks every test user's target again,
and prints HR@10 of warm and cold targets

- among all candidates, which is what a report shows,
- among the candidates of their own side alone: cold targets against cold items, warm against warm; chance beside it,
- among all, with the scores of cold items moved for each user to the mean, or to the mean and deviation, of warm ones,
- among all, with one number added to every cold item's score, the number that validation likes best,
- among all, by the sum of the run's scores and those of content neighbours, weighed by validation,

for the run and for content neighbours: the mean of a history's vectors of the frozen towers, by cosine, which never
knew what is warm. The history is masked. Users whose target stands in it are left out: whoever asks for the items most
like the last one finds that one, which says nothing of content.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from peftrec.cold_start.content import CLIP, standardise
from peftrec.cold_start.frozen_content import FrozenContent
from peftrec.cold_start.neighbours_of_run import WEIGHTS
from peftrec.data.split import RankingCases
from peftrec.training.ranking_loader import RankingBatch, ranking_loader
from peftrec.training.run.restored_run import RestoredRun, restore_run

TOP = 10
BLOCK = 512
OFFSETS = np.arange(-1.0, 4.01, 0.25)
"""Tried on validation, in deviations of a user's scores of warm items."""
HISTORY_LENGTHS = (1, 5)

Scorer = Callable[[RankingBatch], torch.Tensor]
Numbers = npt.NDArray[np.float64]
Rates = tuple[float, float, float]
"""HR@10 of all, warm and cold targets."""


@dataclass(frozen=True, kw_only=True)
class Leaders:
    """What decides whether a target is among the first ten, however cold scores are moved: a row a user."""

    target: Numbers
    is_cold: npt.NDArray[np.bool_]
    warm: Numbers
    """The ten largest scores of warm items but the target and what is masked, `[user, 10]`."""
    cold: Numbers
    scale: Numbers
    """Mean and deviation of the scores of warm items, then of cold ones, `[user, 4]`."""

    def rates(self, factor: Numbers | float = 1.0, offset: Numbers | float = 0.0, *, own_side: bool = False) -> Rates:
        """Rank by warm scores as they are and `factor cold + offset`; ties count against the target."""
        factor, offset = (np.broadcast_to(each, self.target.shape) for each in (factor, offset))
        target = np.where(self.is_cold, factor * self.target + offset, self.target)[:, None]
        before_warm = (self.warm >= target).sum(axis=1) * ~(own_side & self.is_cold)
        before_cold = (factor[:, None] * self.cold + offset[:, None] >= target).sum(axis=1)
        before_cold = before_cold * ~(own_side & ~self.is_cold)
        hits = before_warm + before_cold < TOP
        return float(hits.mean()), float(hits[~self.is_cold].mean()), float(hits[self.is_cold].mean())


def main() -> None:
    arguments = parsed()
    run = restore_run(arguments.run, arguments.places)
    is_cold = torch.from_numpy(run.split.train_counts == 0)
    describe(run, is_cold)
    with torch.inference_mode():
        catalogue = run.module.encode_catalogue().float().cpu()
        vectors = torch.nn.functional.normalize(content_vectors(run), dim=1)
        describe_embeddings(catalogue, is_cold)
        scorers: dict[str, Scorer] = {run.settings.strategy_name: run_scores(run, catalogue)}
        for length in HISTORY_LENGTHS:
            scorers[f"content neighbours, last {length}"] = content_scores(vectors, length)
        print("\n| scores | ranked | all | warm | cold |\n|---|---|--:|--:|--:|")
        for name, rates in blended(run, *list(scorers.values())[:2], is_cold):
            print(f"| {name} | among all | {' | '.join(f'{rate:.4f}' for rate in rates)} |", flush=True)
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
    is_new = ~run.split.test.is_target_in_history()
    targets = is_cold[torch.from_numpy(run.split.test.targets[is_new].astype(np.int64))]
    num_cold = int(is_cold.sum())
    num_warm = len(is_cold) - num_cold
    print(
        f"{run.directory.name}: {len(is_cold):,} candidates, {num_cold:,} cold; {len(targets):,} test users with a "
        f"new target, {int(targets.sum()):,} with a cold one; chance among the own side, warm {TOP / num_warm:.4f}, "
        f"cold {TOP / num_cold:.4f}"
    )


def content_vectors(run: RestoredRun) -> torch.Tensor:
    """Return what the frozen towers say of each item, columns standardised."""
    return torch.from_numpy(standardise(FrozenContent(run=run).of_candidates(), clip=CLIP)).float()


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


def blended(run: RestoredRun, own: Scorer, content: Scorer, is_cold: torch.Tensor) -> Iterator[tuple[str, Rates]]:
    """Yield the sum of a run's scores and content neighbours', both in deviations, at the weight that validation likes
    best, and at that which it likes best of cold targets."""

    def sum_of(weight: float) -> Scorer:
        return lambda batch: _in_deviations(own(batch)) + weight * _in_deviations(content(batch))

    tried = {weight: leaders(run, run.split.validation, sum_of(weight), is_cold).rates() for weight in WEIGHTS}
    for what, of in (("all", 0), ("cold", 2)):
        best = max(tried, key=lambda weight: tried[weight][of])
        rates = leaders(run, run.split.test, sum_of(best), is_cold).rates()
        yield f"run + {best:g} content neighbours, last 1, by validation of {what} targets", rates


def _in_deviations(scores: torch.Tensor) -> torch.Tensor:
    return (scores - scores.mean(dim=1, keepdim=True)) / scores.std(dim=1, keepdim=True)


def rows(run: RestoredRun, scorer: Scorer, is_cold: torch.Tensor) -> Iterator[tuple[str, Rates]]:
    """Yield how targets were ranked, and the rates."""
    test = leaders(run, run.split.test, scorer, is_cold)
    warm_mean, warm_deviation, cold_mean, cold_deviation = test.scale.T
    stretch = warm_deviation / cold_deviation
    yield "among all", test.rates()
    yield "among the own side", test.rates(own_side=True)
    yield "cold at the warm mean", test.rates(offset=warm_mean - cold_mean)
    yield "cold at the warm mean and deviation", test.rates(stretch, warm_mean - stretch * cold_mean)
    validation = leaders(run, run.split.validation, scorer, is_cold)
    best = max(OFFSETS.tolist(), key=lambda offset: validation.rates(offset=offset * validation.scale[:, 1])[0])
    yield f"cold {best:+.2f} deviations, by validation", test.rates(offset=best * warm_deviation)


def leaders(run: RestoredRun, cases: RankingCases, scorer: Scorer, is_cold: torch.Tensor) -> Leaders:
    """Score all users once, whose history is masked, and leave out those whose target stands in it."""
    parts: list[list[torch.Tensor]] = []
    for batch in ranking_loader(cases, sequence_length=run.split.sequence_length, block=BLOCK):
        scores = scorer(batch)
        warm, cold = scores[:, ~is_cold], scores[:, is_cold]
        scale = torch.stack([warm.mean(1), warm.std(1), cold.mean(1), cold.std(1)], dim=1)
        each = torch.arange(len(batch.targets))
        target = scores[each, batch.targets].clone()
        scores[batch.seen.users, batch.seen.items] = -torch.inf
        scores[each, batch.targets] = -torch.inf
        best = [scores[:, side].topk(TOP, dim=1).values for side in (~is_cold, is_cold)]
        parts.append([target, is_cold[batch.targets], *best, scale])
    is_new = ~cases.is_target_in_history()
    target, of_cold, warm, cold, scale = (torch.cat(part).numpy()[is_new] for part in zip(*parts, strict=True))
    return Leaders(target=target, is_cold=of_cold, warm=warm, cold=cold, scale=scale)


if __name__ == "__main__":
    main()
