"""What rows are called: the strategy, and what tells rows of one strategy apart."""

from collections.abc import Mapping, Sequence

from peftrec.errors import RecordError
from peftrec.results.configs import (
    CLASS,
    differing,
    flatten,
    is_number,
    seed_keys,
    short_keys,
    telling_values,
    value_at,
)
from peftrec.results.runs import Run
from peftrec.results.tower_names import TOWERS, tower_texts


def label_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Group runs that differ in nothing but their seed; tell settings of one strategy apart by what differs."""
    parts = label_parts(runs)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        said = parts[run.name]
        label = f"{run.record.strategy} ({', '.join(said)})" if said else run.record.strategy
        groups.setdefault(label, []).append(run)
    for label, group in groups.items():
        _check_seeds(label, group)
    return dict(sorted(groups.items()))


def label_parts(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return by run what stands in its label behind the strategy. Towers and classes (`GRU4Rec`) speak for themselves,
    other values stand behind the shortest ending of their key that no other has: `norm=scale`."""
    told = tell_apart(runs)
    short = short_keys(key for values in told.values() for key in values)
    return {
        run.name: [
            value if _speaks_for_itself(key, run) else f"{short[key]}={value}" for key, value in told[run.name].items()
        ]
        for run in runs
    }


def labelled_keys(runs: Sequence[Run]) -> list[str]:
    """Return the keys, whole, whose values stand in labels."""
    return sorted({key for values in tell_apart(runs).values() for key in values})


def differing_settings(labelled: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return the keys outside the strategy in which strategies differ, one line a key; those that stand in the labels
    of all rows are said already."""
    firsts = {label: group[0] for label, group in labelled.items()}
    configs = dict(zip(firsts, _settings(list(firsts.values()), with_strategy=False), strict=True))
    told = tell_apart([run for group in labelled.values() for run in group])
    said = set.intersection(*map(set, told.values()))
    across = telling_values(configs)
    keys = {key for values in across.values() for key in values} - said
    # A part's key tells rows of one class apart alone; what it is in the others is no less to be said.
    return differing(
        {
            label: {key: value for key in keys if (value := values.get(key, value_at(configs[label], key))) is not None}
            for label, values in across.items()
        }
    )


def tell_apart(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    """Return by run the keys and values that tell it from others of its strategy. Where classes of parts tell already,
    a number does where runs of the same classes differ in it: the rate that was tuned for a user encoder is no part of
    its row's name."""
    told: dict[str, dict[str, str]] = {}
    for strategy in {run.record.strategy for run in runs}:
        members = [run for run in runs if run.record.strategy == strategy]
        values = telling_values(dict(zip((run.name for run in members), _settings(members), strict=True)))
        told |= _without_told_by_class(values, members)
    return told


def _without_told_by_class(told: Mapping[str, dict[str, str]], runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    classes = {
        run.name: {
            key: value for key, value in told[run.name].items() if key != TOWERS and _speaks_for_itself(key, run)
        }
        for run in runs
    }
    found = {}
    for name, values in told.items():
        alike = [told[other] for other in told if classes[other] == classes[name]]
        found[name] = {
            key: value
            for key, value in values.items()
            if not is_number(value) or any(other.get(key) != value for other in alike)
        }
    return found


def _settings(runs: Sequence[Run], *, with_strategy: bool = True) -> list[dict[str, str]]:
    """Return each run's settings without those that repeat its seed, its towers as one of them."""
    flats = [flatten(run.record.config, run.record.roles, with_strategy=with_strategy) for run in runs]
    seeds = seed_keys(zip((run.record.seed for run in runs), flats, strict=True))
    texts = tower_texts([run.record for run in runs])
    return [
        {key: value for key, value in flat.items() if key not in seeds and not f"{key}.".startswith(f"{TOWERS}.")}
        | ({TOWERS: text} if text else {})
        for flat, text in zip(flats, texts, strict=True)
    ]


def _speaks_for_itself(key: str, run: Run) -> bool:
    return key == TOWERS or _is_class(key, run)


def _is_class(key: str, run: Run) -> bool:
    return f"{key}{CLASS}" in flatten(run.record.config)


def _check_seeds(label: str, group: Sequence[Run]) -> None:
    seeds: dict[int, str] = {}
    for run in group:
        if run.is_success and run.record.seed in seeds:
            twin = seeds[run.record.seed]
            raise RecordError(
                f"{label}: {twin} and {run.name} are the same settings with the same seed {run.record.seed}; keep one "
                "of them in this folder"
            )
        if run.is_success:
            seeds[run.record.seed] = run.name
