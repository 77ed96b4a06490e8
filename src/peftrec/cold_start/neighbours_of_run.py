"""Content neighbours of a run: at which weight they help by validation, and what they change on test."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from peftrec.cold_start.by_target import ByTarget, metrics_by_target, table_by_target, users_by_target
from peftrec.cold_start.content_neighbours import KEY, ContentNeighbours
from peftrec.cold_start.frozen_content import FrozenContent
from peftrec.data.items import Items
from peftrec.data.split import RankingCases
from peftrec.evaluation.ranking import rank_targets
from peftrec.results.ranks import user_scores
from peftrec.training.building.loaders import evaluation_block
from peftrec.training.ranking_loader import ranking_loader
from peftrec.training.run.restored_run import RestoredRun
from peftrec.training.run.scoring import UserRanks

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Among which validation chooses."""
Asked = float | Literal["auto"]
"""A weight, or that validation is to choose one."""
SHOWN = "hr@10"


@dataclass(frozen=True, kw_only=True)
class ChosenWeight:
    """How much content neighbours count beside the run's own scores, and why."""

    weight: float
    monitor: str
    """The run's own validation metric."""
    validation: dict[float, float]
    """That metric of targets that are new to their user, at each weight that was tried; empty where it was given."""

    def to_text(self) -> str:
        """Return a line."""
        text, tried = f"{KEY}={self.weight:g}", self.validation
        if not tried:
            return text
        text += f", chosen by validation {self.monitor} of new targets: {tried[self.weight]:.4f}"
        text += f", {tried[0.0]:.4f} without them" if self.weight else " without them"
        best = max(tried, key=lambda weight: tried[weight])
        return text if best == self.weight else f"{text}; {tried[best]:.4f} at {best:g} is within a standard error"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of the same users' figures, with content neighbours less without."""

    mean: float
    standard_error: float
    """Over users."""

    @classmethod
    def of(cls, first: Float[np.ndarray, " user"], second: Float[np.ndarray, " user"]) -> "Difference":
        """Subtract the second users' figures from the first's."""
        differences = first - second
        return cls(mean=float(differences.mean()), standard_error=float(differences.std() / np.sqrt(len(differences))))


@dataclass(frozen=True, kw_only=True)
class NeighboursOnTest:
    """The test users of a run, ranked by its own scores and by these with content neighbours."""

    chosen: ChosenWeight
    without: ByTarget
    with_them: ByTarget
    difference: dict[str, Difference]
    """Of hr@10, for each kind of targets."""

    def to_text(self) -> str:
        """Return a Markdown table and what it rests on."""
        texts = {segment: f"{each.mean:+.4f} ± {each.standard_error:.4f}" for segment, each in self.difference.items()}
        table = table_by_target(
            {"without": self.without, "with": self.with_them}, {f"{SHOWN} difference ± standard error": texts}
        )
        return f"{table}\n{self.chosen.to_text()}\n"


@dataclass(frozen=True, kw_only=True)
class NeighboursOfRun:
    """A restored run's content and embeddings; content is computed when it is first needed."""

    content: FrozenContent
    embeddings: Float[np.ndarray, "candidate dim"]
    """The run's own, of all candidates."""

    @property
    def run(self) -> RestoredRun:
        return self.content.run

    @cached_property
    def of_candidates(self) -> ContentNeighbours:
        """What is added to scores takes of the candidates."""
        return ContentNeighbours.of(self.content.of_candidates(), self.embeddings)

    def vectors_of(self, items: Items) -> Float[np.ndarray, "item feature"]:
        """Return the same of items that the run has not met, from their titles and images."""
        return self.of_candidates.vectors_of(self.content.of_items(items))

    def choose(self, asked: Asked) -> ChosenWeight:
        """Return the weight that was asked for, or the one that validation chooses."""
        if asked == "auto":
            return self.by_validation
        return ChosenWeight(weight=asked, monitor=self.run.settings.evaluation.monitor, validation={})

    @cached_property
    def by_validation(self) -> ChosenWeight:
        """The smallest weight at which the run's monitored metric is within a standard error, of the difference user by
        user, of the best one's (Breiman et al., Classification and Regression Trees, 3.4.3), on validation.

        The best of several weights is partly the luckiest: on the built-in data one user more on validation chose a
        weight that lost fifteen on test. Users whose target repeats an item of their history do not count: whoever asks
        for the items most like the last one finds that one, which says nothing of others.
        """
        monitor, cases = self.run.settings.evaluation.monitor, self.run.split.validation
        is_new = ~cases.is_target_in_history()
        is_asked = is_new if is_new.any() else ~is_new
        scores = [_scores(each, monitor)[is_asked] for each in self.rank(cases, WEIGHTS)]
        best = max(scores, key=np.mean)
        shortfalls = (Difference.of(best, each) for each in scores)
        is_enough = [each.mean <= each.standard_error for each in shortfalls]
        return ChosenWeight(
            weight=WEIGHTS[is_enough.index(True)],
            monitor=monitor,
            validation={weight: float(each.mean()) for weight, each in zip(WEIGHTS, scores, strict=True)},
        )

    def on_test(self, asked: Asked) -> NeighboursOnTest:
        """Rank the test users with and without."""
        chosen = self.choose(asked)
        without, with_them = self.rank(self.run.split.test, (0.0, chosen.weight))
        hits = [_scores(each, SHOWN) for each in (with_them, without)]
        return NeighboursOnTest(
            chosen=chosen,
            without=metrics_by_target(self.run, without),
            with_them=metrics_by_target(self.run, with_them),
            difference={
                segment: Difference.of(hits[0][users], hits[1][users])
                for segment, users in users_by_target(self.run).items()
                if users.any()
            },
        )

    @torch.inference_mode()
    def rank(self, cases: RankingCases, weights: Sequence[float]) -> list[UserRanks]:
        """Rank every user's target at each weight, as `rank_users` does; at 0 the ranks are its own."""
        run, evaluation = self.run, self.run.settings.evaluation
        recommender = run.module.recommender
        dtype = next(recommender.user_encoder.parameters()).dtype
        catalogue = torch.from_numpy(self.embeddings).to(run.device, dtype)
        content = torch.from_numpy(self.of_candidates.vectors).to(run.device)
        blocks = ranking_loader(
            cases,
            sequence_length=run.split.sequence_length,
            block=evaluation_block(evaluation, len(catalogue)),
            reads_times=run.settings.user_encoder.reads_times,
        )
        found: list[list[UserRanks]] = [[] for _ in weights]
        for batch in (block.to(run.device) for block in blocks):
            with run.module.as_for_scoring():
                states = recommender.last_states(catalogue, batch.sequences, batch.mask, batch.times).float()
                own = torch.matmul(states, catalogue.float().T)
                queries = self.of_candidates.queries(states.cpu().numpy(), batch.sequences[:, -1].cpu().numpy())
                near = torch.from_numpy(queries).to(run.device) @ content.T
            for parts, weight in zip(found, weights, strict=True):
                ranked = rank_targets(own + weight * near, batch.targets, batch.seen, evaluation.mask_history)
                parts.append(
                    UserRanks(ranks=ranked.ranks.cpu().numpy(), is_unreachable=ranked.is_unreachable.cpu().numpy())
                )
        return [_joined(parts) for parts in found]


def _scores(ranked: UserRanks, metric: str) -> Float[np.ndarray, " user"]:
    return user_scores(ranked.ranks.astype(np.float64), ranked.is_unreachable, metric)


def _joined(parts: Sequence[UserRanks]) -> UserRanks:
    return UserRanks(
        ranks=np.concatenate([part.ranks for part in parts]),
        is_unreachable=np.concatenate([part.is_unreachable for part in parts]),
    )
