"""Made-up records, so that tables, figures and the notebook can be tested before anything was trained.

Every figure here is invented for demonstration; none was measured and none is from a publication.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import JsonValue

from peftrec.files import write_stream_atomically
from peftrec.results.costs import Efficiency, Epoch, ExactBytes, Metrics
from peftrec.results.process import Process
from peftrec.results.ranks import per_user
from peftrec.results.record import (
    RANKS_FILE,
    DataSummary,
    Evaluation,
    ParameterCounts,
    Provenance,
    Record,
    Stretch,
    write_record,
)

EXPERIMENT = "made-up-example"
DEVICE = "made-up (nothing was measured)"
NUM_CANDIDATES = 500
SHARE_COLD = 0.2
SHARE_UNREACHABLE = 0.05
LONG_HISTORY = 7
METRICS = tuple(f"{name}@{cut}" for cut in (5, 10, 20) for name in ("hr", "ndcg", "mrr"))


@dataclass(frozen=True)
class Invented:
    """What is made up about one strategy."""

    strategy: str
    skill: float
    """Share of users whose target is drawn near the top."""
    seconds: float
    trainable: int
    mebibytes: int
    frozen: int = 30_000_000
    """Frozen parameters; a strategy without any has no towers, or trains them all."""


STRATEGIES = (
    Invented("adapter", 0.30, 50.0, 900_000, 1900),
    Invented("bitfit", 0.22, 45.0, 150_000, 1800),
    Invented("fft", 0.31, 64.0, 30_000_000, 2400, frozen=0),
    Invented("frozen", 0.18, 9.0, 120_000, 300),
    Invented("id", 0.12, 2.0, 160_000, 60, frozen=0),
    Invented("iisan", 0.32, 24.0, 700_000, 520),
    Invented("lora", 0.29, 52.0, 200_000, 1950),
)


def write_example_records(directory: Path, *, seeds: int = 2, num_users: int = 200) -> Path:
    """Write runs of made-up numbers below `directory`; return the experiment's folder, to be reported."""
    folder = directory / EXPERIMENT
    for invented in STRATEGIES:
        for seed in range(1, seeds + 1):
            ranks = made_up_ranks(invented.skill, seed, num_users)
            record = made_up_record(invented, seed, ranks)
            write_run(folder / record.run_id, record, ranks)
    return folder


def write_run(folder: Path, record: Record, ranks: pd.DataFrame) -> None:
    """Write a run's two files."""
    write_stream_atomically(folder / RANKS_FILE, lambda stream: ranks.to_parquet(stream, index=False))
    write_record(record, folder)


def made_up_ranks(skill: float, seed: int, num_users: int) -> pd.DataFrame:
    """Draw ranks: users share a difficulty, so that strategies are paired, and a strategy hits a share of them."""
    shared = np.random.default_rng(7)
    difficulty, is_cold = shared.random(num_users), shared.random(num_users) < SHARE_COLD
    is_unreachable, history_length = shared.random(num_users) < SHARE_UNREACHABLE, shared.integers(3, 11, num_users)
    drawn = np.random.default_rng([seed, round(skill * 1000)])
    odds = 0.7 * difficulty + 0.3 * drawn.random(num_users)
    near, far = drawn.integers(1, 16, num_users), drawn.integers(1, NUM_CANDIDATES + 1, num_users)
    return pd.DataFrame(
        {
            "user": [f"user{number}" for number in range(num_users)],
            "rank": np.where(odds < skill * np.where(is_cold, 0.5, 1.0), near, far).astype("int64"),
            "is_cold": is_cold,
            "is_unreachable": is_unreachable,
            "history_length": history_length.astype("int64"),
        }
    )


def made_up_record(invented: Invented, seed: int, ranks: pd.DataFrame) -> Record:
    """Return a record as a run would leave it, with the scores of `ranks` and invented costs."""
    scores = _metrics(ranks)
    return Record(
        run_id=f"{invented.strategy}-example{seed}",
        experiment=EXPERIMENT,
        strategy=invented.strategy,
        seed=seed,
        status="success",
        process=Process(process_id=1, host="example", started_at="2026-01-01T00:00:00+00:00"),
        config=_config(invented.strategy, seed),
        roles={},
        question_hash=f"{invented.strategy}{seed}",
        code_hash="made-up",
        comparison_hash="made-up",
        provenance=Provenance(data_hash="made-up", tower_revisions={"text": "made-up", "image": "made-up"}),
        stretches=[
            Stretch(
                first_epoch=0,
                started_at="2026-01-01T00:00:00+00:00",
                modules={},
                packages={},
                versions={"peftrec": "example"},
                git_commit=None,
                git_dirty=None,
                device=DEVICE,
            )
        ],
        data=_data(ranks),
        parameters=_parameters(invented),
        epochs=[_epoch(number, _seconds(invented, seed), scores) for number in range(6)],
        chosen_epoch=2,
        efficiency=_efficiency(invented, seed),
        evaluation=Evaluation(test=scores, test_segments=_segments(ranks), validation=scores, baselines=_baselines()),
        checkpoint_bytes=4 * invented.trainable,
    )


def _config(strategy: str, seed: int) -> dict[str, JsonValue]:
    return {
        "experiment": EXPERIMENT,
        "strategy_name": strategy,
        "seed": seed,
        "batch_size": 64,
        "strategy": {"_target_": f"made_up.{strategy}"},
        "evaluation": {"mask_history": "all", "monitor": "hr@10", "patience": 10},
        "data": {"split": "leave_one_out", "windows": "last", "sequence_length": 10},
        "trainer": {"max_epochs": 6, "precision": "32-true"},
    }


def _metrics(ranks: pd.DataFrame) -> Metrics:
    return {metric: float(per_user(ranks, metric).mean()) for metric in METRICS}


def _segments(ranks: pd.DataFrame) -> dict[str, Metrics]:
    is_cold, is_long = ranks["is_cold"], ranks["history_length"] >= LONG_HISTORY
    masks = {"warm": ~is_cold, "cold": is_cold, "history_3_to_6": ~is_long, "history_7_to_10": is_long}
    return {name: _metrics(ranks[mask]) | {"num_users": float(mask.sum())} for name, mask in masks.items()}


def _baselines() -> dict[str, Metrics]:
    hits = {5: 0.02, 10: 0.04, 20: 0.07}
    popularity = {f"{name}@{cut}": hit / (1 if name == "hr" else 2) for cut, hit in hits.items() for name in _kinds()}
    random = {f"hr@{cut}": cut / NUM_CANDIDATES for cut in hits}
    for cut in hits:
        random[f"ndcg@{cut}"] = sum(1 / math.log2(rank + 1) for rank in range(1, cut + 1)) / NUM_CANDIDATES
        random[f"mrr@{cut}"] = sum(1 / rank for rank in range(1, cut + 1)) / NUM_CANDIDATES
    return {"popularity": popularity, "random": random}


def _kinds() -> tuple[str, ...]:
    return tuple(dict.fromkeys(metric.split("@")[0] for metric in METRICS))


def _data(ranks: pd.DataFrame) -> DataSummary:
    return DataSummary(
        num_users=len(ranks),
        num_items=NUM_CANDIDATES,
        num_candidates=NUM_CANDIDATES,
        num_interactions=8 * len(ranks),
        num_training_sequences=len(ranks),
        num_unreachable_validation=0,
        num_unreachable_test=int(ranks["is_unreachable"].sum()),
        num_cold_test=int(ranks["is_cold"].sum()),
        counts={},
    )


def _parameters(invented: Invented) -> ParameterCounts:
    return ParameterCounts(
        trainable=invented.trainable,
        total=invented.trainable + invented.frozen,
        by_origin={"recommender": {"trainable": invented.trainable, "frozen": invented.frozen}},
        groups={},
        role={},
    )


def _epoch(number: int, seconds: float, scores: Metrics) -> Epoch:
    return Epoch(
        epoch=number,
        training_loss=5.0 / (number + 1),
        validation=scores,
        training_seconds=seconds,
        data_wait_seconds=0.1 * seconds,
        num_steps=10,
    )


def _seconds(invented: Invented, seed: int) -> float:
    return invented.seconds * (1 + 0.02 * (seed - 2))


def _efficiency(invented: Invented, seed: int) -> Efficiency:
    seconds = _seconds(invented, seed)
    memory = invented.mebibytes * 2**20
    quarter = memory // 4
    return Efficiency(
        seconds_per_epoch=seconds,
        steps_per_second=10 / seconds,
        data_wait_seconds_per_epoch=0.1 * seconds,
        seconds_to_best_epoch=2 * seconds,
        peak_memory_bytes=memory,
        exact_bytes=ExactBytes(
            parameters=quarter, gradients=quarter, optimizer_state=quarter, saved_for_backward=memory - 3 * quarter
        ),
        cuda_max_allocated_bytes=None,
        cuda_max_reserved_bytes=None,
        resident_peak_bytes=None,
        step_operations=10_000 * invented.trainable,
        store_build_seconds=None,
        store_bytes=None,
        amortised_seconds_per_epoch=seconds,
        is_isolated=True,
    )
