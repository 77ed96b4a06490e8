"""What a job of the cold-start comparison leaves: one JSON file, from which alone the table is made."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydantic import JsonValue, ValidationError

from peftrec.code.fingerprint import Fingerprint
from peftrec.cold_start.evaluation import CUTOFFS
from peftrec.errors import RecordError
from peftrec.files import write_atomically
from peftrec.outputs.safe_text import for_markdown
from peftrec.results.costs import CountedMetrics
from peftrec.results.record_part import RecordPart
from peftrec.results.significance import spread
from peftrec.results.tables import markdown_grid, quality_text

SHOWN = [f"{metric}@{cutoff}" for metric in ("recall", "precision", "ndcg") for cutoff in CUTOFFS]
LONGEST_HASH = 8


class EpochResult(RecordPart):
    """An epoch of a method that has some."""

    loss: float
    """Mean over the batches, without the penalty on weights."""
    validation: CountedMetrics


class ColdStartResult(RecordPart):
    """A finished job."""

    config: dict[str, JsonValue]
    question_hash: str
    """Of what of the config decides the result, and of the data."""
    setting_hash: str
    """The same without the seed: what a table's row stands for."""
    modules: dict[str, str]
    """Module to the hash of what it does, for the code that answered."""
    packages: dict[str, str]
    """Package to version, without the local part."""
    finished_at: str
    """In UTC."""
    data_hash: str
    pairs: str
    model: str
    seed: int
    note: str
    versions: dict[str, str]
    device: str
    counts: dict[str, int]
    """Users, items, training pairs, candidates and users with a right one among them."""
    num_parameters: int
    epochs: list[EpochResult]
    chosen: dict[str, int]
    validation: CountedMetrics
    test: CountedMetrics
    seconds: dict[str, float]
    """`factors` (0 where they were kept, or not asked for), `fit` with its validation, and `test`."""


def write_result(path: Path, result: ColdStartResult) -> None:
    """Write a result, whole or not at all."""
    write_atomically(path, json.dumps(result.model_dump(mode="json"), indent=2).encode())


def read_result(path: Path) -> ColdStartResult:
    """Read a result. Raises RecordError."""
    try:
        return ColdStartResult.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise RecordError(
            f"{path}: {key or 'the file'}: {first['msg']}; not a result of this version: delete it and run again"
        ) from error


def without_superseded(results: Sequence[ColdStartResult]) -> list[ColdStartResult]:
    """Return, of results of one question by different code, the latest alone."""
    latest: dict[str, ColdStartResult] = {}
    for result in sorted(results, key=lambda each: each.finished_at):
        latest[result.question_hash] = result
    return [result for result in results if latest[result.question_hash] is result]


def former_answer(directory: Path, question_hash: str) -> tuple[Path, Fingerprint] | None:
    """Return the latest result of the same question, and the code that gave it; None where there is none."""
    found = [(path, read_result(path)) for path in sorted(directory.glob("*.json"))]
    same = [(path, result) for path, result in found if result.question_hash == question_hash]
    if not same:
        return None
    path, result = max(same, key=lambda each: each[1].finished_at)
    return path, Fingerprint(modules=result.modules, versions=result.packages)


def to_markdown(results: Sequence[ColdStartResult]) -> str:
    """Return a table a split, best figures bold, with what must stand beside them."""
    results, every = without_superseded(results), results
    tables = _tables(results)
    if left_out := len(every) - len(results):
        tables += f"\nLeft out, because later code answered the same: {left_out} results.\n"
    return tables


def _tables(results: Sequence[ColdStartResult]) -> str:
    by_split: dict[tuple[str, str], list[ColdStartResult]] = defaultdict(list)
    for result in results:
        by_split[result.pairs, result.data_hash].append(result)
    return "\n".join(_split_table(group) for group in by_split.values())


def _split_table(results: Sequence[ColdStartResult]) -> str:
    rows: dict[str, list[ColdStartResult]] = defaultdict(list)
    for result in results:
        rows[result.setting_hash].append(result)
    values = pd.DataFrame(
        [{name: spread([one.test[name] for one in row]).mean for name in SHOWN} for row in rows.values()]
    )
    cells = pd.DataFrame([_cells(row, _label(row[0], list(rows.values()))) for row in rows.values()])
    best = (values == values.max()).reindex(columns=cells.columns, fill_value=False)
    first = results[0]
    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in first.counts.items())
    notes = [f"{counts}; every candidate ranked, ties against the right ones.", first.note]
    return f"## {for_markdown(first.pairs)}\n\n{markdown_grid(cells, best)}\n" + "".join(
        f"{for_markdown(note)}\n" for note in notes if note
    )


def _label(result: ColdStartResult, rows: list[list[ColdStartResult]]) -> str:
    """Name a row by its model, and by its setting's hash where the name does not tell it from another."""
    is_alone = sum(row[0].model == result.model for row in rows) == 1
    return result.model if is_alone else f"{result.model} ({result.setting_hash[:LONGEST_HASH]})"


def _cells(row: Sequence[ColdStartResult], label: str) -> dict[str, str]:
    chosen = " ".join(
        sorted({f"{name} {value + (name == 'epoch')}" for one in row for name, value in one.chosen.items()})
    )  # epochs are counted from zero in results and from one for people
    return {
        "model": label,
        "seeds": str(len(row)),
        **{name: quality_text(spread([one.test[name] for one in row])) for name in SHOWN},
        "parameters": f"{row[0].num_parameters:,}",
        "chosen": chosen.replace("_", " "),
    }
