"""The accuracies of a configuration over its seeds, by each rule of choosing an epoch, beside the published one."""

import statistics
from collections.abc import Sequence

from peftrec.series.results import ClassificationResults, SeedOutcome

PUBLISHED = {"JapaneseVowels": 0.987}
"""GTN's accuracy in the table of the authors' repository (ZZUFaceBookDL/GTN), whose code looks at the test set after
every fifth epoch and keeps the best."""
PUBLISHED_INTERVAL = 5  # `test_interval` of its run.py
_PUBLISHED_RULE = "best of every fifth epoch, chosen on the test set"


def accuracies(seeds: Sequence[SeedOutcome]) -> dict[str, list[float]]:
    """Return rule to accuracy of each seed. Only the last rule, the published code's, looks at the test set; without a
    fifth epoch there is none by it."""
    tested = [each.epochs[PUBLISHED_INTERVAL - 1 :: PUBLISHED_INTERVAL] for each in seeds]
    rules = {
        "at the least training loss": [each.least_loss_epoch().test_accuracy for each in seeds],
        "at the last epoch": [each.epochs[-1].test_accuracy for each in seeds],
    }
    if all(tested):
        rules[_PUBLISHED_RULE] = [max(epoch.test_accuracy for epoch in epochs) for epochs in tested]
    return rules


def to_text(results: ClassificationResults) -> str:
    """Return the table for a terminal."""
    rules = accuracies(results.seeds)
    width = max(map(len, rules))
    sizes = ", ".join(f"{count:,} {name}" for name, count in results.sizes.items())
    lines = [
        f"{results.dataset}: {sizes}; {results.num_parameters:,} parameters; "
        f"seeds {', '.join(str(each.seed) for each in results.seeds)}",
        "",
        f"{'test accuracy, %':<{width}}   mean  spread  per seed",
        *(f"{rule:<{width}}  {_mean_and_spread(values)}  {_percents(values)}" for rule, values in rules.items()),
    ]
    if results.dataset in PUBLISHED:
        label = "published, by the last rule" if _PUBLISHED_RULE in rules else "published"
        lines.append(f"{label:<{width}}  {100 * PUBLISHED[results.dataset]:5.1f}")
    gates = [each.least_loss_epoch().step_gate for each in results.seeds]
    mean = statistics.mean(gates)
    lines += ["", f"mean gate at the least training loss: step tower {mean:.2f}, channel tower {1 - mean:.2f}"]
    return "\n".join(lines) + "\n"


def _mean_and_spread(values: Sequence[float]) -> str:
    spread = f"{100 * statistics.stdev(values):6.2f}" if len(values) > 1 else f"{'-':>6}"
    return f"{100 * statistics.mean(values):5.2f}  {spread}"


def _percents(values: Sequence[float]) -> str:
    return " ".join(f"{100 * value:.1f}" for value in values)
