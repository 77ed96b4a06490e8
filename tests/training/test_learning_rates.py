"""Learning rates over the steps: the curve's equations, and the same factor for every group of a real optimizer."""

from pathlib import Path
from typing import Any

import pytest

from peftrec.results.record import read_record
from peftrec.training.adam import Adam
from peftrec.training.learning_rates import rate_factor
from peftrec.training.run.pipeline import train_run
from small_runs import small_settings

pytestmark = pytest.mark.integration


def test_without_warmup_and_decay_the_rate_is_the_rate() -> None:
    assert {rate_factor(steps, warmup_steps=0, decay="none") for steps in range(1000)} == {1.0}


def test_warmup_rises_in_equal_parts_and_stays() -> None:
    factors = [rate_factor(steps, warmup_steps=4, decay="none") for steps in range(7)]
    assert factors == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("warmup_steps", [1, 5, 4000])
def test_warmup_and_decay_are_the_papers_curve(warmup_steps: int) -> None:
    """lambda / sqrt(dim) min(1 / sqrt(n), n / n_warm^1.5), over its largest value."""
    largest = 1 / warmup_steps**0.5
    for steps in (0, 1, 3, 4, 5, 3998, 3999, 4000, 50_000):
        n = steps + 1
        published = min(1 / n**0.5, n / warmup_steps**1.5)
        found = rate_factor(steps, warmup_steps=warmup_steps, decay="inverse_square_root")
        assert found == pytest.approx(published / largest, rel=1e-12)


def test_decay_without_warmup_falls_from_the_first_step() -> None:
    factors = [rate_factor(steps, warmup_steps=0, decay="inverse_square_root") for steps in (0, 3, 99)]
    assert factors == pytest.approx([1.0, 0.5, 0.1])


class Rates:
    """Keeps the rates of every optimizer step of a run, by group."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, crash_at: int | None = None) -> None:
        self.taken: list[dict[str, float]] = []
        original = Adam.step

        def step(optimizer: Adam, closure: Any = None) -> Any:
            loss = original(optimizer, closure)  # which runs the closure first: gradients, and Lightning's hook
            if len(self.taken) == crash_at:
                raise MemoryError("for the test")
            self.taken.append({group["name"]: group["lr"] for group in optimizer.param_groups})
            return loss

        monkeypatch.setattr(Adam, "step", step)


RATES = {"text": 1e-3, "image": 2e-3, "introduced": 3e-3, "recommender": 4e-3}


@pytest.mark.parametrize(("accumulate_batches", "num_steps"), [(1, 8), (2, 4)])
def test_all_groups_follow_the_optimizers_steps(
    accumulate_batches: int, num_steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = Rates(monkeypatch)
    curve = {"warmup_steps": 3, "decay": "inverse_square_root"}
    trainer = {"max_epochs": 2, "accumulate_batches": accumulate_batches}
    train_run(small_settings(tmp_path, "full", learning_rates={**RATES, **curve}, trainer=trainer))
    assert len(rates.taken) == num_steps
    for step, taken in enumerate(rates.taken):
        factor = rate_factor(step, warmup_steps=3, decay="inverse_square_root")
        assert taken == {name: factor * RATES[name] for name in ("text", "image", "recommender")}


def test_a_resumed_run_takes_the_rates_of_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {"learning_rates": {"warmup_steps": 11, "decay": "inverse_square_root"}}
    with monkeypatch.context() as patched:
        whole = Rates(patched)
        expected = read_record(train_run(small_settings(tmp_path / "whole", "id", **changes)).run_directory)
    with monkeypatch.context() as patched:
        Rates(patched, crash_at=10)
        with pytest.raises(MemoryError):
            train_run(small_settings(tmp_path / "crashed", "id", **changes))
    resumed = Rates(monkeypatch)
    record = read_record(train_run(small_settings(tmp_path / "crashed", "id", **changes)).run_directory)
    assert len(resumed.taken) == 8, "two of four epochs were finished, of four steps each"
    assert resumed.taken == whole.taken[8:]
    assert record.evaluation == expected.evaluation
    assert [epoch.training_loss for epoch in record.epochs] == [epoch.training_loss for epoch in expected.epochs]


def test_the_curve_decides_the_result_and_is_recorded(tmp_path: Path) -> None:
    trainer = {"max_epochs": 1}
    plain, warmed = (
        train_run(small_settings(tmp_path, "id", trainer=trainer, learning_rates={"warmup_steps": steps}))
        for steps in (0, 8)
    )
    assert plain.run_directory != warmed.run_directory
    record = read_record(warmed.run_directory)
    assert record.config["learning_rates"]["warmup_steps"] == 8  # type: ignore[call-overload, index]
    assert record.parameters is not None
    assert record.parameters.groups["recommender"]["learning_rate"] == 1e-3
    assert record.epochs[0].training_loss != read_record(plain.run_directory).epochs[0].training_loss
