"""What must stand beside the figures: the protocol they were measured with, and what makes them less comparable."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from peftrec.results.configs import differing, flatten
from peftrec.results.record import Record
from peftrec.results.runs import Run
from peftrec.results.split_notes import split_text
from peftrec.results.tpme_notes import tpme_lines
from peftrec.results.tpme_reference import CostChoices

LONGEST_ERROR = 200
MANY_LEFT_OUT = 0.1
"""Share of all users from which on a note says that they were left out."""
DROPPED = "users_dropped_"
OF_PACKAGE = "package:"
"""How the checkpoint begins of a tower that this package ships."""
BUILT_IN = "peftrec.data.synthetic."
"""Where the sources are of data that such towers were made for."""


def protocol(records: Sequence[Record], tpme_set: Sequence[str], choices: CostChoices) -> tuple[str, ...]:
    """Return how the figures were measured, one sentence an entry."""
    first = records[0]
    flat = flatten(first.config)
    experiments = ", ".join(sorted({record.experiment for record in records}))
    lines = [
        f"Experiment {experiments}; device {first.latest.devices}; data {first.provenance.data_hash[:12]}; "
        f"seeds {', '.join(str(seed) for seed in sorted({record.seed for record in records}))}.",
        *_ranking(first, flat.get("evaluation.mask_history", "not recorded")),
        split_text(first),
        f"The epoch is chosen by validation {flat.get('evaluation.monitor', '(monitor not recorded)')}; the test set "
        "is scored once, from that epoch. Figures are fractions: mean and sample standard deviation over seeds; one "
        "target a user, so hr@k equals recall@k.",
        *_baselines(records),
        f"Parameters, memory and other costs are medians over seeds. {_memory(first)}",
    ]
    lines += tpme_lines(tpme_set, choices)
    return tuple(lines)


def _ranking(record: Record, mask: str) -> list[str]:
    data = record.data
    if data is None:
        return [f"Full ranking; history mask {mask}; the record holds no counts of the data."]
    return [
        f"Full ranking over {data.num_candidates:,} candidates for {data.num_users:,} users; ties count against the "
        f"method; history mask {mask}: {data.num_unreachable_test:,} test targets are unreachable and count as "
        f"misses; {data.num_cold_test:,} test targets are cold (no training interaction)."
    ]


def _baselines(records: Sequence[Record]) -> list[str]:
    names = sorted(
        {name for record in records if record.evaluation is not None for name in record.evaluation.baselines}
    )
    if not names:
        return []
    return [f"Baselines, on the same users, candidates and mask and without training: {', '.join(names)}."]


def _memory(record: Record) -> str:
    block = record.efficiency
    if block is None or block.peak_memory_bytes is None:
        return "The first record holds no memory."
    if block.memory_source == "cuda_allocator":
        return "peak_memory_bytes is the most that CUDA had allocated during training (max_memory_allocated)."
    return (
        "peak_memory_bytes is the most that torch's allocator held in any step of the first epoch, a store in memory "
        "included; costs on a CPU do not stand for costs on a GPU."
    )


def label_notes(keys: Sequence[str]) -> tuple[str, ...]:
    """Return what the labels of rows shorten: the whole keys in which rows of one strategy differ."""
    return (f"Rows of one strategy are told apart by {', '.join(keys)}.",) if keys else ()


def comparison_notes(
    runs: Sequence[Run],
    rows: Mapping[str, Sequence[Run]],
    settings: Sequence[str],
    tpme_problem: str | None,
) -> tuple[str, ...]:
    """Return what a reader must know before comparing rows; `settings` are the keys in which strategies differ."""
    notes = [_failure(run) for run in runs if not run.is_success]
    notes += _left_out(rows)
    if tpme_problem is not None:
        notes.append(f"No TPME: {tpme_problem}.")
    if settings:
        notes.append(f"Settings that differ besides the strategy: {'; '.join(settings)}.")
    notes += _seeds(rows)
    notes += _provenance(rows)
    notes += _named(rows, _is_shared, "costs were measured in a process that other runs shared")
    notes += _named(rows, _has_random_towers, "towers have random weights, so quality says nothing; costs hold")
    notes += _named(
        rows,
        _has_small_towers,
        "towers are the small ones of this package, made for its built-in data; on other data they stand for no "
        "pretrained encoder",
    )
    notes += _named(rows, _ends_at_last_epoch, "the chosen epoch is the last one of a run, so more epochs may help")
    return tuple(notes)


def _failure(run: Run) -> str:
    record = run.record
    status = record.effective_status().replace("_", " ")
    reason = (record.error or "").strip().splitlines()
    text = f": {reason[0][:LONGEST_ERROR]}" if reason else ""
    return f"{record.strategy}, seed {record.seed}: {status}{text} ({run.name})."


def _left_out(rows: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return how many users policies left out; data is the same for all rows."""
    data = next((run.record.data for runs in rows.values() for run in runs if run.record.data is not None), None)
    if data is None:
        return []
    dropped = {key: value for key, value in data.counts.items() if key.startswith(DROPPED)}
    left_out = {key.removeprefix(DROPPED).replace("_", " "): value for key, value in dropped.items()}
    total = sum(left_out.values())
    if total < MANY_LEFT_OUT * (total + data.num_users):
        return []
    reasons = ", ".join(f"{reason} {value:,}" for reason, value in left_out.items() if value)
    return [f"{data.num_users:,} users are tested; {total:,} were left out before the split ({reasons})."]


def _seeds(rows: Mapping[str, Sequence[Run]]) -> list[str]:
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, runs in rows.items():
        groups.setdefault(tuple(sorted(run.record.seed for run in runs)), []).append(name)
    notes = []
    if len(groups) > 1:
        listed = "; ".join(f"{', '.join(map(str, seeds))}: {', '.join(names)}" for seeds, names in groups.items())
        notes.append(f"Strategies have different seeds ({listed}).")
    single = [name for seeds, names in groups.items() if len(seeds) == 1 for name in names]
    if single:
        notes.append(f"One seed, so no spread: {_listed(single, rows)}. Seeds often differ more than strategies do.")
    return notes


def _provenance(rows: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return what decided the result outside the configuration and is not the same for all runs."""
    kept = {"git_commit", "git_dirty", "versions"}
    flats: dict[str, dict[str, str]] = {}
    for name, runs in rows.items():
        found = {run.name: _of_run(run.record, kept) for run in runs}
        is_same = len({tuple(sorted(flat.items())) for flat in found.values()}) == 1
        flats |= {name: next(iter(found.values()))} if is_same else found
    differences = _differing_where_present(flats)
    notes = [f"Runs differ in {'; '.join(differences)}."] if differences else []
    dirty = sorted({name for name, runs in rows.items() if any(run.record.latest.git_dirty for run in runs)})
    if dirty:
        notes.append(f"Made from a work tree with uncommitted changes: {_listed(dirty, rows)}.")
    return notes


def _of_run(record: Record, kept: set[str]) -> dict[str, str]:
    """Return what the run was last trained with, and its towers, by key."""
    stretch = record.latest.model_dump(include=kept)
    return flatten({**stretch, "tower_revisions": dict(record.provenance.tower_revisions)})


def _differing_where_present(flats: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Compare each key among those that have it: a strategy without towers has no revision that could differ."""
    keys = sorted({key for flat in flats.values() for key in flat} - {"tower_revisions"})
    return [
        line
        for key in keys
        for line in differing({name: {key: flat[key]} for name, flat in flats.items() if key in flat})
    ]


def _named(rows: Mapping[str, Sequence[Run]], holds: Callable[[Record], bool], text: str) -> Iterable[str]:
    names = [name for name, runs in rows.items() if any(holds(run.record) for run in runs)]
    return [f"{_listed(names, rows)}: {text}."] if names else []


def _listed(names: Sequence[str], rows: Mapping[str, object]) -> str:
    return "all rows" if len(names) == len(rows) > 1 else ", ".join(names)


def _is_shared(record: Record) -> bool:
    return record.efficiency is not None and not record.efficiency.is_isolated


def _has_random_towers(record: Record) -> bool:
    return any(key.endswith("random_init") and value == "true" for key, value in flatten(record.config).items())


def _has_small_towers(record: Record) -> bool:
    flat = flatten(record.config)
    checkpoints = [value for key, value in flat.items() if key.startswith("towers.") and key.endswith(".checkpoint")]
    if flat.get("data._target_", "").startswith(BUILT_IN) or _has_random_towers(record):
        return False
    return any(value.startswith(OF_PACKAGE) for value in checkpoints)


def _ends_at_last_epoch(record: Record) -> bool:
    return bool(record.epochs) and record.chosen_epoch == record.epochs[-1].epoch
