"""A loss that is no number ends training with one message."""

from pathlib import Path

import pytest
import torch

from peftrec.results.runs import find_runs
from peftrec.training.divergence import DivergedError, check_losses
from peftrec.training.module import RecommenderModule
from peftrec.training.run.pipeline import train_run
from small_runs import small_settings


def test_the_first_bad_step_is_named() -> None:
    rates = {"introduced": 1.0, "recommender": 0.5}
    check_losses(torch.ones(4), epoch=3, rates=rates)
    with pytest.raises(
        DivergedError, match=r"loss was nan in step 3 of epoch 4.*introduced 1, recommender 0\.5"
    ) as caught:
        check_losses(torch.tensor([1.0, 2.0, torch.nan, torch.inf]), epoch=3, rates=rates)
    assert "learning_rates.introduced=0.1 learning_rates.recommender=0.05" in str(caught.value)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (0, "the loss is nan before the first step, so no learning rate is at fault"),
        (2, "training diverged: the loss was nan in step 3 of epoch 1"),
    ],
)
def test_a_run_that_diverges_is_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, said: str
) -> None:
    original = RecommenderModule.loss

    def loss(self: RecommenderModule, batch: object) -> torch.Tensor:
        found = original(self, batch)  # type: ignore[arg-type]
        return found * torch.nan if self.trainer.global_step == step else found

    monkeypatch.setattr(RecommenderModule, "loss", loss)
    with pytest.raises(DivergedError, match=said):
        train_run(small_settings(tmp_path, "id", trainer={"max_epochs": 1}))
    (run,) = find_runs(tmp_path)
    assert run.record.status == "failed"
    assert (run.record.error or "").startswith(f"DivergedError: {said}")
