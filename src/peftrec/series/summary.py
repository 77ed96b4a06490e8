"""The accuracies of a configuration over its seeds, by each rule of choosing an epoch, beside the published one."""

import statistics
from collections.abc import Sequence

from peftrec.series.results import ClassificationResults, SeedOutcome

PUBLISHED = {"JapaneseVowels": 0.987}
"""GTN's accuracy in the table of the authors' repository (ZZUFaceBookDL/GTN), the best over epochs of one seed."""


def accuracies(seeds: Sequence[SeedOutcome]) -> dict[str, list[float]]:
    """Return rule to accuracy of each seed. Only the last rule looks at the test set."""
    return {
        "at the least training loss": [each.least_loss_epoch().test_accuracy for each in seeds],
        "at the last epoch": [each.epochs[-1].test_accuracy for each in seeds],
        "best of all epochs, chosen on the test set": [
            max(epoch.test_accuracy for epoch in each.epochs) for each in seeds
        ],
    }


def to_text(results: ClassificationResults) -> str:
    """Return the table for a terminal."""
    rules = accuracies(results.seeds)
    width = max(map(len, rules))
    sizes = ", ".join(f"{count:,} {name}" for name, count in results.sizes.items())
    lines = [
        f"{results.dataset}: {sizes}; {results.num_parameters:,} parameters; {len(results.seeds)} seeds",
        "",
        f"{'test accuracy, %':<{width}}   mean  spread  per seed",
        *(f"{rule:<{width}}  {_mean_and_spread(values)}  {_percents(values)}" for rule, values in rules.items()),
    ]
    if results.dataset in PUBLISHED:
        lines.append(f"{'published, by the last rule':<{width}}  {100 * PUBLISHED[results.dataset]:5.1f}")
    gates = [each.least_loss_epoch().step_gate for each in results.seeds]
    mean = statistics.mean(gates)
    lines += ["", f"mean gate at the least training loss: step tower {mean:.2f}, channel tower {1 - mean:.2f}"]
    return "\n".join(lines) + "\n"


def _mean_and_spread(values: Sequence[float]) -> str:
    spread = f"{100 * statistics.stdev(values):6.2f}" if len(values) > 1 else f"{'-':>6}"
    return f"{100 * statistics.mean(values):5.2f}  {spread}"


def _percents(values: Sequence[float]) -> str:
    return " ".join(f"{100 * value:.1f}" for value in values)
