"""What must be said beside figures that different code computed."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from peftrec.errors import shortlist
from peftrec.results.configs import differing
from peftrec.results.record import Record
from peftrec.results.runs import Run


def code_notes(rows: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return in which modules and packages rows differ, and which went on, or were taken, under other code.

    A module counts where at least two rows reach it: each strategy has modules of its own.
    """
    notes = []
    modules = _differing(rows, lambda record: record.latest.modules)
    packages = _differing(rows, lambda record: record.latest.packages)
    if modules:
        names = sorted(line.partition(" ")[0] for line in modules)
        notes.append(f"Rows were trained by different code: {shortlist(names)}. {modules[0]}.")
    if packages:
        notes.append(f"Rows were trained with different versions: {'; '.join(packages)}.")
    mixed = sorted(name for name, runs in rows.items() if any(_is_mixed(run.record) for run in runs))
    if mixed:
        notes.append(f"{', '.join(mixed)}: not all of it by one code, by reuse=despite_code.")
    return notes


def superseded_notes(superseded: Sequence[Run]) -> list[str]:
    """Return which runs later code superseded."""
    if not superseded:
        return []
    names = shortlist(run.name for run in superseded)
    return [f"Left out, because later code answered the same: {names}; peftrec clean RUNS_DIR removes them."]


def _differing(rows: Mapping[str, Sequence[Run]], values_of: Callable[[Record], Mapping[str, str]]) -> list[str]:
    by_key: dict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
    for name, runs in rows.items():
        for run in runs:
            label = name if len(runs) == 1 else run.name
            for key, value in values_of(run.record).items():
                by_key[key][label] = {key: value}
    return [line for key in sorted(by_key) for line in differing(by_key[key])]


def _is_mixed(record: Record) -> bool:
    codes = [(stretch.modules, stretch.packages) for stretch in record.stretches]
    return any(code != codes[0] for code in codes) or record.latest.reuse == "despite_code"
