"""Intervals and tests for readers: short tables, and sentences that say what they claim."""

from collections.abc import Sequence

import pandas as pd

from peftrec.errors import counted
from peftrec.outputs.safe_text import for_markdown, for_markdown_sentence
from peftrec.results.power import POWER
from peftrec.results.tables import markdown_grid
from peftrec.results.tested import Tested
from peftrec.results.users_and_seeds import ANY_SEEDS, THESE_SEEDS

SMALLEST_SHOWN = 1e-4
_LISTED = 8
"""Pairs named one by one."""


def to_markdown(tested: Tested, experiments: Sequence[str]) -> str:
    """Return `significance.md`: what is claimed, then the intervals of means and the pairs."""
    parts = [f"# Means and differences: {for_markdown(', '.join(experiments))}\n", _bullets(sentences(tested))]
    if tested.problem is None:
        parts += ["## Means\n", markdown_grid(readable_means(tested))]
    if len(tested.pairs):
        parts += ["## Differences between strategies\n", markdown_grid(readable_pairs(tested))]
    return "\n".join(parts)


def readable_means(tested: Tested) -> pd.DataFrame:
    """Return the strategies' means as text, with the interval in one cell."""
    return pd.DataFrame(
        [
            {
                "strategy": row["strategy"],
                "metric": row["metric"],
                "mean": f"{row['mean']:.4f}",
                "95 % interval": f"{row['ci_low']:.4f} to {row['ci_high']:.4f}",
                "speaks of": row["claim"],
                "seeds' share of variance": "" if pd.isna(row["share_of_seeds"]) else f"{row['share_of_seeds']:.0%}",
            }
            for row in tested.means.to_dict("records")
        ]
    )


def readable_pairs(tested: Tested) -> pd.DataFrame:
    """Return the tests as a reader wants them: the pair first, what can be said of it last."""
    wished = tested.asked.wished
    lines = []
    for row in tested.pairs.to_dict("records"):
        line = {
            "pair": f"{row['strategy_a']} - {row['strategy_b']}",
            "metric": row["metric"],
            "difference": f"{row['difference']:+.4f}",
            "95 % interval": f"{row['ci_low']:+.4f} to {row['ci_high']:+.4f}",
            "speaks of": row["claim"],
            "p (Holm)": p_text(row["p_holm"]),
            f"p (Holm), {THESE_SEEDS}": p_text(row["these_seeds_p_holm"]),
            "verdict": row["verdict"],
            "smallest difference": f"{row['smallest_difference']:.4f}",
        }
        if tested.asked.margin is not None:
            line["90 % interval"] = f"{row['margin_low']:+.4f} to {row['margin_high']:+.4f}"
            line["seeds for equivalence"] = _count(row["seeds_for_margin"])
        if wished is not None:
            line[f"seeds for {wished:g}"] = _count(row["seeds_for_wish"])
        lines.append(line)
    return pd.DataFrame(lines)


def p_text(value: float) -> str:
    """Return a p-value with four digits; none is zero."""
    return f"{value:.4f}" if value >= SMALLEST_SHOWN else f"< {SMALLEST_SHOWN:.4f}"


def _count(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else f"{value:,.0f}"


def sentences(tested: Tested) -> tuple[str, ...]:
    """Return what intervals, tests and verdicts claim, one sentence or two an entry."""
    if tested.problem is not None:
        return (tested.problem,)
    claims = set(tested.means["claim"]) | set(tested.pairs["claim"])
    lines = []
    if ANY_SEEDS in claims:
        lines.append(
            f"`{ANY_SEEDS}`: the interval speaks of other users and of other seeds (two-way table of users and seeds, "
            "quasi-F, Satterthwaite's degrees of freedom)."
        )
    if THESE_SEEDS in claims:
        lines.append(
            f"`{THESE_SEEDS}`: a strategy has one seed, so the interval speaks of other users under the seeds that "
            "were run and of no others; another seed may turn the order round."
        )
    if not len(tested.pairs):
        return tuple(lines)
    return (*lines, *_of_pairs(tested.pairs), *_of_margin(tested), *_of_power(tested))


def _of_pairs(pairs: pd.DataFrame) -> list[str]:
    lines = [
        f"Differences are taken user by user. p is corrected over all {len(pairs)} rows (Holm); p for {THESE_SEEDS} is "
        "of a permutation test over users and is claimed for no others."
    ]
    by_seed = pairs[pairs["paired_by"] == "user and seed"]
    names = list(dict.fromkeys(f"{row.strategy_a} - {row.strategy_b}" for row in by_seed.itertuples()))
    if names:
        listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
        lines.append(
            f"Seeds pair as users do where a seed gives both strategies one order of users and one start of the user "
            f"encoder ({listed}); elsewhere each strategy adds the variance between its own seeds."
        )
    return lines


def _of_margin(tested: Tested) -> list[str]:
    margin = tested.asked.margin
    if margin is None:
        return ["`better` and `worse` are significant differences; `undecided` is not `equal`: name a margin for that."]
    lines = [
        f"`equivalent`: the difference is less than {margin:g}, by two one-sided tests at 5 % (the 90 % interval lies "
        f"within the margin), corrected over all rows (Holm). `better` and `worse` are significant differences that "
        "are not equivalent; `undecided` is neither. A margin is to be fixed before looking."
    ]
    for metric, rows in tested.pairs.groupby("metric", sort=False):
        counts = rows["verdict"].replace({"worse": "differ", "better": "differ"}).value_counts()
        told = ", ".join(f"{counts.get(name, 0)} {name}" for name in ("differ", "equivalent", "undecided"))
        lines.append(f"{metric}: of {counted(len(rows), 'pair')} {told}.")
    return lines


def _span(low: float, high: float) -> str:
    ends = dict.fromkeys((f"{low:.4f}", f"{high:.4f}"))
    return " to ".join(ends)


def _of_power(tested: Tested) -> list[str]:
    ranges = [
        f"{metric} {_span(rows['smallest_difference'].min(), rows['smallest_difference'].max())}"
        for metric, rows in tested.pairs.groupby("metric", sort=False)
    ]
    lines = [
        f"Smallest difference that these users and seeds would show with a probability of {POWER:g} at 5 %, before the "
        f"correction: {', '.join(ranges)}."
    ]
    wished = tested.asked.wished
    if wished is not None:
        lines.append(
            f"Seeds for {wished:g}: how many each strategy needs so that such a difference would be shown, if users "
            "and seeds go on to vary as they did. Empty: no number is enough for these users, or one seed says nothing "
            "about others."
        )
    return lines


def _bullets(lines: Sequence[str]) -> str:
    return "".join(f"- {for_markdown_sentence(line)}\n" for line in lines)
