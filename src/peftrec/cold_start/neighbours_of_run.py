"""Content neighbours of a run: at which weight they help by validation, and what they change on test."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from peftrec.cold_start.by_target import ByTarget, metrics_by_target, table_by_target
from peftrec.cold_start.content_neighbours import KEY, ContentNeighbours
from peftrec.cold_start.frozen_content import FrozenContent
from peftrec.data.split import RankingCases
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.evaluation.ranking import rank_targets
from peftrec.training.building.loaders import evaluation_block
from peftrec.training.ranking_loader import ranking_loader
from peftrec.training.run.restored_run import RestoredRun
from peftrec.training.run.scoring import UserRanks

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Among which validation chooses; of equals the smallest."""
Asked = float | Literal["auto"]
"""A weight, or that validation is to choose one."""


@dataclass(frozen=True, kw_only=True)
class ChosenWeight:
    """How much content neighbours count beside the run's own scores, and why."""

    weight: float
    monitor: str
    """The run's own validation metric."""
    validation: dict[float, float]
    """That metric at each weight that was tried; empty where the weight was given."""

    def to_text(self) -> str:
        """Return a line."""
        if not self.validation:
            return f"{KEY}={self.weight:g}"
        without, best = self.validation[0.0], self.validation[self.weight]
        why = f"{best:.4f} with them, {without:.4f} without" if self.weight else f"{without:.4f} without, less with any"
        return f"{KEY}={self.weight:g}, chosen by validation {self.monitor}: {why}"


@dataclass(frozen=True, kw_only=True)
class NeighboursOnTest:
    """The test users of a run, ranked by its own scores and by these with content neighbours."""

    chosen: ChosenWeight
    without: ByTarget
    with_them: ByTarget

    def to_text(self) -> str:
        """Return a Markdown table and what it rests on."""
        table = table_by_target({"without": self.without, "with": self.with_them})
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

    def choose(self, asked: Asked) -> ChosenWeight:
        """Return the weight that was asked for, or the one at which the run's monitored metric of all validation users
        is best."""
        if asked == "auto":
            return self.by_validation
        return ChosenWeight(weight=asked, monitor=self.run.settings.evaluation.monitor, validation={})

    @cached_property
    def by_validation(self) -> ChosenWeight:
        """The weight that validation chooses."""
        monitor = self.run.settings.evaluation.monitor
        ranked = self.rank(self.run.split.validation, WEIGHTS)
        tried = {
            weight: ranking_metrics(each.ranks, each.is_unreachable)[monitor]
            for weight, each in zip(WEIGHTS, ranked, strict=True)
        }
        return ChosenWeight(weight=max(WEIGHTS, key=lambda weight: tried[weight]), monitor=monitor, validation=tried)

    def on_test(self, asked: Asked) -> NeighboursOnTest:
        """Rank the test users with and without."""
        chosen = self.choose(asked)
        without, with_them = self.rank(self.run.split.test, (0.0, chosen.weight))
        return NeighboursOnTest(
            chosen=chosen,
            without=metrics_by_target(self.run, without),
            with_them=metrics_by_target(self.run, with_them),
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


def _joined(parts: Sequence[UserRanks]) -> UserRanks:
    return UserRanks(
        ranks=np.concatenate([part.ranks for part in parts]),
        is_unreachable=np.concatenate([part.is_unreachable for part in parts]),
    )
