"""What completing a run's cold items changes: figures before and after, in one file beside the run's record."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from pydantic import JsonValue, ValidationError
from torch import Tensor

from peftrec.code.fingerprint import Fingerprint, take_fingerprint
from peftrec.code.user_code import sources
from peftrec.cold_start.by_target import ByTarget, metrics_by_target, table_by_target
from peftrec.cold_start.cold_items import ColdItemsSettings, catalogue_of, complete
from peftrec.cold_start.item_vectors import item_vectors
from peftrec.errors import DataError, UserError
from peftrec.files import try_writing, write_atomically
from peftrec.results.record_part import RecordPart
from peftrec.training.run.restored_ranks import rank_over
from peftrec.training.run.restored_run import RestoredRun, restore_run

COLD_ITEMS_FILE = "cold_items.json"
_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "Pillow")


class ColdItemsResult(RecordPart):
    """The test users of a run, ranked over its own embeddings and over the completed ones."""

    config: dict[str, JsonValue]
    """Settings without the run's place."""
    run_id: str
    """Of the run, whose name says what it was asked and which code answered."""
    modules: dict[str, str]
    """Module to the hash of what it does, for the code that completed the catalogue."""
    packages: dict[str, str]
    """Package to version, without the local part."""
    tower_revisions: dict[str, str]
    """Tower to the hash of what the content came from."""
    num_warm_items: int
    num_cold_items: int
    chosen_epoch: int
    """The first is 0."""
    validation: list[float]
    before: ByTarget
    after: ByTarget
    shuffled: ByTarget
    """The same with the new embeddings dealt out among the cold items at random: what is left owes nothing to the
    content of the item at hand."""


def complete_run(
    settings: ColdItemsSettings, config: dict[str, JsonValue], places: Sequence[str] = ()
) -> ColdItemsResult:
    """Complete a run's cold items, or read what was found before with the same settings.

    Raises RecordError or CheckpointError where the run cannot be restored, DataError where no item is cold.
    """
    directory = Path(settings.run)
    path = directory / COLD_ITEMS_FILE
    decisive = {key: value for key, value in config.items() if key != "run"}
    run = restore_run(directory, places)
    code = take_fingerprint([__name__], _PACKAGES, sources())
    found = _read(path)
    if found is not None and (found.config, found.run_id) == (decisive, run.record.run_id):
        former = Fingerprint(modules=found.modules, versions=found.packages)
        if code == former:
            return found
        print(f"{path}: {code.explain(former)}", file=sys.stderr)
    num_cold = int((run.split.train_counts == 0).sum())
    if not num_cold:
        raise DataError(f"{directory}: every candidate occurs in training, so that there is no cold item to complete")
    try:
        try_writing(directory)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); let this user write there and free space, or ask a copy of "
            f"the run: cp -r {directory} COPY && peftrec coldstart run=COPY"
        ) from error
    vectors = item_vectors(run.settings, run.split.items, run.device)
    completed = complete(run, vectors, settings)
    result = ColdItemsResult(
        config=decisive,
        run_id=run.record.run_id,
        modules=dict(code.modules),
        packages=dict(code.versions),
        tower_revisions=run.settings.towers.weights_hashes(seed=run.settings.seed),
        num_warm_items=len(run.split.items) - num_cold,
        num_cold_items=num_cold,
        chosen_epoch=completed.chosen_epoch,
        validation=completed.validation,
        before=_test_metrics(run, catalogue_of(run)),
        after=_test_metrics(run, completed.catalogue),
        shuffled=_test_metrics(run, deal_out(completed.catalogue, run, seed=settings.seed)),
    )
    write_atomically(path, json.dumps(result.model_dump(mode="json"), indent=2).encode())
    return result


def deal_out(
    catalogue: Float[Tensor, "candidate dim"], run: RestoredRun, *, seed: int
) -> Float[Tensor, "candidate dim"]:
    """Return the catalogue with the embeddings of cold items permuted."""
    cold = np.flatnonzero(run.split.train_counts == 0)
    dealt = catalogue.clone()
    dealt[torch.from_numpy(cold)] = catalogue[torch.from_numpy(np.random.default_rng(seed).permutation(cold))]
    return dealt


def to_markdown(result: ColdItemsResult) -> str:
    """Return the figures before and after, and with the new embeddings dealt out at random."""
    columns = {"before": result.before, "after": result.after, "shuffled": result.shuffled}
    counts = f"{result.num_warm_items:,} warm and {result.num_cold_items:,} cold items"
    epochs = f"epoch {result.chosen_epoch + 1} of {len(result.validation)}"
    return f"{table_by_target(columns)}\n{counts}; {epochs}.\n"


def _test_metrics(run: RestoredRun, catalogue: Float[Tensor, "candidate dim"]) -> ByTarget:
    return metrics_by_target(run, rank_over(run, run.split.test, catalogue))


def _read(path: Path) -> ColdItemsResult | None:
    """Return what is there; nothing where it is missing or another version's, which is then made again."""
    try:
        return ColdItemsResult.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
