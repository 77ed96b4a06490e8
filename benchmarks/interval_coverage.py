"""How often 95 % intervals hold the truth, and how often strategies that are the same are said to differ.

    peftrec train -m experiment=quickstart strategy=id,iisan_cached trainer.max_epochs=4 name=coverage \
        seed=$(seq -s, 1 60) hydra.launcher.slots=1
    python benchmarks/interval_coverage.py runs/coverage [--draws 2000] [--metric hr@10] [--group 3,5]

All users under all seeds of a strategy stand for the population, and their mean for the truth. A draw takes as many
users, with replacement, and a group of seeds, the same ones for both strategies, as a sweep would. For the rate of
false findings two groups of one strategy, without a common seed, are compared as if they were two strategies. Methods:

former      seeds averaged, users resampled (percentile bootstrap)
users+seeds two-way table, each strategy adding the variance between its own seeds: what a report says of these two
paired      the same, with seeds taken in pairs: what a report says of strategies that share order and start

The interval of a rate is of a jackknife over seeds, because draws of the same seeds are not independent of each other.
Groups are drawn without replacement, of 60, so that their means vary by a twentieth (groups of 3) or a twelfth (of 5)
less than those of seeds without end.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peftrec.results.paired_tests import CONFIDENCE, bootstrap_interval
from peftrec.results.ranks import Values, read_seeds
from peftrec.results.runs import find_runs
from peftrec.results.users_and_seeds import difference_of, mean_of

Interval = tuple[float, float]
Method = Callable[[Values, Values, np.random.Generator], Interval]
"""Scores of both strategies, (users, seeds) each, to the interval of their difference."""


def former(one: Values, other: Values, generator: np.random.Generator) -> Interval:
    """Average seeds and resample users."""
    return bootstrap_interval((one.mean(axis=1) - other.mean(axis=1)).round(12), generator)


def crossed(one: Values, other: Values, _: np.random.Generator) -> Interval:
    """Let each strategy add the variance between its own seeds."""
    return difference_of(one, other, pairs_seeds=False).interval(CONFIDENCE)


def paired(one: Values, other: Values, _: np.random.Generator) -> Interval:
    """Take seeds in pairs."""
    return difference_of(one, other, pairs_seeds=True).interval(CONFIDENCE)


METHODS: dict[str, Method] = {"former": former, "users+seeds": crossed, "paired": paired}


@dataclass(frozen=True)
class Rate:
    """How often something held over draws, with a 95 % interval over seeds."""

    value: float
    low: float
    high: float
    width: float
    """Median width of the intervals."""

    @classmethod
    def of(cls, holds: NDArray[np.bool_], groups: NDArray[np.int64], widths: Values, num_seeds: int) -> "Rate":
        """Take whether it held, the seeds of each draw, and the widths; seeds are left out one by one."""
        value = float(holds.mean())
        without = [float(holds[~(groups == seed).any(axis=1)].mean()) for seed in range(num_seeds)]
        error = math.sqrt((num_seeds - 1) / num_seeds * sum((each - np.mean(without)) ** 2 for each in without))
        return cls(value, max(0.0, value - 1.96 * error), min(1.0, value + 1.96 * error), float(np.median(widths)))

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def difference_rates(one: Values, other: Values, size: int, draws: int) -> dict[str, Rate]:
    """Return by method how often the interval of the difference holds the true one."""
    truth = float(one.mean() - other.mean())
    return _rates(one, other, size, draws, lambda low, high: low <= truth <= high, is_same=False)


def false_positive_rates(scores: Values, size: int, draws: int) -> dict[str, Rate]:
    """Return by method how often two groups of one strategy's seeds are said to differ."""
    found = _rates(scores, scores, size, draws, lambda low, high: not low <= 0 <= high, is_same=True)
    return {name: rate for name, rate in found.items() if name != "paired"}


def _rates(
    one: Values, other: Values, size: int, draws: int, holds: Callable[[float, float], bool], *, is_same: bool
) -> dict[str, Rate]:
    generator = np.random.default_rng(size)
    num_users, num_seeds = one.shape
    groups = np.array([generator.permutation(num_seeds)[: 2 * size if is_same else size] for _ in range(draws)])
    held = {name: np.zeros(draws, dtype=bool) for name in METHODS}
    widths = {name: np.zeros(draws) for name in METHODS}
    for draw, seeds in enumerate(groups):
        users = generator.integers(num_users, size=num_users)
        first, second = one[users][:, seeds[:size]], other[users][:, seeds[-size:]]
        for name, method in METHODS.items():
            low, high = method(first, second, generator)
            held[name][draw], widths[name][draw] = holds(low, high), high - low
    return {name: Rate.of(held[name], groups, widths[name], num_seeds) for name in METHODS}


def mean_rate(scores: Values, size: int, draws: int) -> Rate:
    """Return how often the interval of a strategy's mean holds the true one."""
    generator = np.random.default_rng(size)
    num_users, num_seeds = scores.shape
    groups = np.array([generator.permutation(num_seeds)[:size] for _ in range(draws)])
    held, widths = np.zeros(draws, dtype=bool), np.zeros(draws)
    for draw, seeds in enumerate(groups):
        low, high = mean_of(scores[generator.integers(num_users, size=num_users)][:, seeds]).interval(CONFIDENCE)
        held[draw], widths[draw] = low <= scores.mean() <= high, high - low
    return Rate.of(held, groups, widths, num_seeds)


def read_population(folder: Path, metric: str) -> dict[str, Values]:
    """Return by strategy the scores of all users under the seeds that all strategies have."""
    runs = [run for run in find_runs(folder) if run.is_success]
    names = sorted({run.record.strategy for run in runs})
    seeds = {name: {run.record.seed for run in runs if run.record.strategy == name} for name in names}
    shared = set.intersection(*seeds.values())
    return {
        name: read_seeds(
            name, [run.folder for run in runs if run.record.strategy == name and run.record.seed in shared]
        ).scores(metric)
        for name in seeds
    }


def main() -> None:
    """Print the rates of two strategies' runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--metric", default="hr@10")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--group", default="3,5", help="seeds of a group")
    arguments = parser.parse_args()
    population = read_population(arguments.folder, arguments.metric)
    (name, one), (other_name, other) = population.items()
    correlation = float(np.corrcoef(one.mean(axis=0), other.mean(axis=0))[0, 1])
    half = 1.96 / math.sqrt(one.shape[1] - 3)
    low, high = (math.tanh(math.atanh(correlation) + sign * half) for sign in (-1, 1))
    print(f"{arguments.metric}, {one.shape[0]} users, {one.shape[1]} seeds, {arguments.draws} draws")
    for each, scores in population.items():
        whole = mean_of(scores)
        print(
            f"{each}: mean {scores.mean():.4f}, standard deviation between seeds {whole.seeds[0].between ** 0.5:.4f}, "
            f"standard error over users {whole.users_alone**0.5:.4f}"
        )
    print(f"correlation of the strategies' means over seeds: {correlation:.2f} ({low:.2f} to {high:.2f})\n")
    print("| what | seeds | method | rate | median width |\n| :-- | --: | :-- | --: | --: |")
    for size in map(int, arguments.group.split(",")):
        lines = {f"coverage, {name} - {other_name}": difference_rates(one, other, size, arguments.draws)}
        for each, scores in population.items():
            lines[f"coverage, mean of {each}"] = {"users+seeds": mean_rate(scores, size, arguments.draws)}
            lines[f"false findings, {each}"] = false_positive_rates(scores, size, arguments.draws)
        for what, rates in lines.items():
            for method, rate in rates.items():
                print(f"| {what} | {size} | {method} | {rate} | {rate.width:.4f} |", flush=True)


if __name__ == "__main__":
    main()
