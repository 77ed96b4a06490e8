"""The comparison of several data sets as sentences and tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from peftrec.outputs.safe_text import for_markdown, for_markdown_sentence
from peftrec.results.across_data_sets import FEWEST, OverDataSets
from peftrec.results.asked import Asked
from peftrec.results.comparison import Comparison
from peftrec.results.configs import differing, flatten
from peftrec.results.tables import best_cells, markdown_grid, readable
from peftrec.results.tested import Tested
from peftrec.results.tested_text import p_text, readable_pairs

MEAN_RANK = "mean rank"


@dataclass(frozen=True, kw_only=True)
class Across:
    """What several data sets say together."""

    comparisons: Mapping[str, Comparison]
    """By the names of the data sets."""
    over: tuple[OverDataSets, ...]
    """One a metric."""
    signed_ranks: pd.DataFrame
    pairs: pd.DataFrame
    """Differences on each data set, corrected over all of them."""
    asked: Asked
    problems: tuple[str, ...]
    """Data sets without tests, each with the reason."""


def sentences(across: Across) -> tuple[str, ...]:
    """Return what was compared and what may be said, one sentence or two an entry."""
    num_sets = len(across.comparisons)
    ranked = list(across.over[0].ranks.columns)
    every = {row.strategy for comparison in across.comparisons.values() for row in comparison.strategies}
    lines = [f"Ranked on {num_sets} data sets, 1 is best: {', '.join(ranked)}."]
    if left_out := sorted(every - set(ranked)):
        lines.append(f"Left out, because not every data set has them: {', '.join(left_out)}.")
    lines.append("TPME is relative to its own table, so that it stands in each and is averaged over none.")
    if settings := _differing_evaluation(across):
        lines.append(f"The evaluation differs between data sets: {'; '.join(settings)}.")
    lines += _of_tests(across, num_sets)
    if len(across.pairs):
        lines.append(
            f"Differences on each data set are corrected over all {len(across.pairs)} rows (Holm); what their "
            "intervals speak of stands in each line."
        )
    return (*lines, *across.problems)


def _of_tests(across: Across, num_sets: int) -> list[str]:
    if num_sets < FEWEST:
        return [
            f"No test over data sets: signed ranks of fewer than {FEWEST} cannot have a p-value below 0.05, and mean "
            "ranks of so few differ by chance as far as they can. What can be said is said for each data set."
        ]
    lines = [
        f"{one.metric}: Friedman's test with Iman and Davenport's F, p {_equal_or_below(one.friedman_p)}; where it is "
        f"below 0.05, mean ranks that are {one.critical_difference:.2f} apart differ (Nemenyi's critical difference at "
        "5 %)."
        for one in across.over
    ]
    return [
        *lines,
        "Mean ranks depend on which strategies stand in the table; pairs over data sets, which do not, are Wilcoxon's "
        f"signed ranks, corrected over all {len(across.signed_ranks)} rows (Holm).",
    ]


def _equal_or_below(p_value: float | None) -> str:
    text = "" if p_value is None else p_text(p_value)
    return text if text.startswith("<") else f"= {text}"


def _differing_evaluation(across: Across) -> list[str]:
    flats = {}
    for name, comparison in across.comparisons.items():
        record = next(run.record for run in comparison.runs if run.is_success)
        flat = flatten(record.config, record.roles)
        flats[name] = {key: value for key, value in flat.items() if key.startswith("evaluation.")}
    return differing(flats)


def ranks_table(across: Across) -> pd.DataFrame:
    """Return mean and rank of every strategy on every data set, and its mean rank, one row a metric and strategy."""
    rows: list[dict[str, object]] = []
    for one in across.over:
        for strategy in one.ranks.columns:
            row: dict[str, object] = {"metric": one.metric, "strategy": strategy}
            for name in one.ranks.index:
                row |= {f"{name}_mean": one.scores.loc[name, strategy], f"{name}_rank": one.ranks.loc[name, strategy]}
            row |= {"mean_rank": one.mean_ranks[strategy], "friedman_p": one.friedman_p}
            rows.append(row | {"critical_difference": one.critical_difference})
    return pd.DataFrame(rows)


def readable_ranks(one: OverDataSets) -> pd.DataFrame:
    """Return strategies down by mean rank, data sets across, `2 (0.0614)` in a cell."""
    rows = []
    for strategy in one.mean_ranks.sort_values(kind="stable").index.astype(str):
        cells = {
            str(name): f"{one.ranks.loc[name, strategy]:g} ({one.scores.loc[name, strategy]:.4f})"
            for name in one.ranks.index
        }
        rows.append({"strategy": strategy, MEAN_RANK: f"{one.mean_ranks[strategy]:.2f}", **cells})
    return pd.DataFrame(rows)


def readable_signed_ranks(across: Across) -> pd.DataFrame:
    """Return the tests of pairs over data sets as text."""
    return pd.DataFrame(
        [
            {
                "pair": f"{row['strategy_a']} - {row['strategy_b']}",
                "metric": row["metric"],
                "better on": f"{row['num_better']} of {row['data_sets']}",
                "p": p_text(row["p_value"]),
                "p (Holm)": p_text(row["p_holm"]),
            }
            for row in across.signed_ranks.to_dict("records")
        ]
    )


def pairs_first(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs with their data set in the first column."""
    return pairs[["data_set", *(name for name in pairs.columns if name != "data_set")]] if len(pairs) else pairs


def readable_differences(across: Across) -> pd.DataFrame:
    """Return the pairs on each data set as text."""
    lines = readable_pairs(Tested(means=pd.DataFrame(), pairs=across.pairs, asked=across.asked))
    lines.insert(0, "data set", across.pairs["data_set"].to_list())
    return lines


def to_markdown(across: Across) -> str:
    """Return `across.md`: ranks, pairs, and each data set's table."""
    parts = [
        f"# {for_markdown(', '.join(across.comparisons))}\n",
        _bullets(sentences(across)),
    ]
    for one in across.over:
        parts += [f"## Ranks by {one.metric}\n", markdown_grid(readable_ranks(one))]
    if len(across.signed_ranks):
        parts += ["## Pairs over data sets\n", markdown_grid(readable_signed_ranks(across))]
    for name, comparison in across.comparisons.items():
        parts += [f"## {for_markdown(name)}\n", markdown_grid(readable(comparison), best_cells(comparison))]
        parts.append(_bullets((*comparison.protocol, *comparison.notes)))
    if len(across.pairs):
        parts += ["## Differences on each data set\n", markdown_grid(readable_differences(across))]
    return "\n".join(parts)


def to_terminal(across: Across) -> str:
    """Return the ranks and what may be said of them."""
    parts = [f"{one.metric}, ranks\n{readable_ranks(one).to_string(index=False)}\n" for one in across.over]
    return "\n".join([*parts, _bullets(sentences(across))])


def _bullets(lines: Iterable[str]) -> str:
    return "".join(f"- {for_markdown_sentence(line)}\n" for line in lines)
