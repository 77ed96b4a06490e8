"""An adapter a group of users: a finished run's users divided, a part trained for each group, all test users ranked.

The idea is that of PerPEFT (arXiv:2602.09445, WWW 2026), whose code has no licence and was not taken. As there: k-means
on the states of a trained user encoder; for each group the strategy's trainable part and the projection, started from
what was trained for all; batches of one group's users alone, so that in-batch negatives are items of the group; one
user encoder for all. Otherwise than there: states read the training part of histories alone; an item is its content,
without an embedding of its id. The user encoder stays as the run left it; loss, optimizer, early stopping and ranking
are the run's own.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from peftrec.code.fingerprint import Fingerprint, take_fingerprint
from peftrec.code.user_code import sources
from peftrec.data.split import Split
from peftrec.devices import device_name
from peftrec.errors import SettingsError, UserError
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.files import Holding, no_empty_folders, try_writing, write_atomically
from peftrec.profiles.optional import optional_module
from peftrec.progress.quiet import quieten_libraries
from peftrec.results.costs import Metrics
from peftrec.results.divisions import DIVISIONS, RESULT_FILE, GroupFigures, GroupsCosts, GroupsResult
from peftrec.results.record import read_finished
from peftrec.settings.run_identity import RUN_PACKAGES, digest, part_modules
from peftrec.training.building.item_side import load_towers
from peftrec.training.parameter_groups import tensor_bytes
from peftrec.training.precision import parameter_dtype, refuse_float16
from peftrec.training.run.restored_ranks import rank_over
from peftrec.training.run.restored_run import RestoredRun, restore_run
from peftrec.training.run.run_record import write_ranks
from peftrec.training.run.scoring import UserRanks, encoded_candidates
from peftrec.user_groups.clusters import NONE, Groups, divide
from peftrec.user_groups.group_split import group_splits
from peftrec.user_groups.members import write_members
from peftrec.user_groups.part import Part, TrainedGroup
from peftrec.user_groups.ranking import RankedByGroup, rank_by_group
from peftrec.user_groups.settings import GroupsSettings


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a run, and who answers."""

    config: dict[str, JsonValue]
    run_id: str
    code: Fingerprint

    @classmethod
    def of(cls, run: RestoredRun, config: dict[str, JsonValue]) -> "Question":
        """Leave out where the run lies."""
        return cls(
            config={key: value for key, value in config.items() if key != "run"},
            run_id=run.record.run_id,
            code=take_fingerprint([__name__, *part_modules(run.settings)], (*RUN_PACKAGES, "scikit-learn"), sources()),
        )

    @property
    def question_hash(self) -> str:
        return digest([self.run_id, self.config])

    def folder(self, run: Path) -> Path:
        """Return where the answer lies."""
        return run / DIVISIONS / f"{self.config['number']}-{digest([self.question_hash, self.code.digest])[:12]}"


def groups_of_run(settings: GroupsSettings, config: dict[str, JsonValue], places: Sequence[str] = ()) -> Path:
    """Divide a run's users, train a part for each group, rank the test users; return the folder that holds the answer.

    What is finished is not done again: an answer is found, a trained group is read, one that was under way goes on at
    its last completed epoch. Raises RecordError or CheckpointError where the run cannot be restored, SettingsError
    where its items are ids, or it cannot be divided so, DataError where a group has nothing to learn from.
    """
    quieten_libraries()
    directory = Path(settings.run)
    if not read_finished(directory).provenance.tower_revisions:
        raise SettingsError(
            f"{directory}: a run that knows items by their ids alone has no item encoder to adapt; name a run of a "
            "strategy that reads content"
        )
    optional_module("sklearn.cluster", key="peftrec groups")  # before anything is loaded
    run = restore_run(directory, places)
    refuse_float16(run.settings.trainer.precision, run.device.type)
    question = Question.of(run, config)
    folder = question.folder(directory)
    if (folder / RESULT_FILE).exists():
        print(f"finished before: {folder}", file=sys.stderr)
        return folder
    with _held(folder):
        _answer(run, settings, question, folder)
    return folder


def _answer(run: RestoredRun, settings: GroupsSettings, question: Question, folder: Path) -> None:
    catalogue = encoded_candidates(run.module)
    groups = divide(run, catalogue, settings)
    splits = group_splits(run.split, groups, run.settings)
    of_run = rank_over(run, run.split.test, catalogue)
    part = Part.of(run, epochs=settings.epochs, negatives=settings.negatives)
    part.check(splits)
    folders = [folder / f"group_{number}" for number in range(1, len(groups) + 1)]
    trained = []
    for number, (split, place) in enumerate(zip(splits, folders, strict=True), start=1):
        print(f"group {number} of {len(groups)}: {groups.sizes[number - 1]:,} users", file=sys.stderr)
        trained.append(part.train(split, place))
    ranked = rank_by_group(part, groups, splits, folders, of_run)
    result = GroupsResult(
        config=question.config,
        run_id=question.run_id,
        question_hash=question.question_hash,
        modules=dict(question.code.modules),
        packages=dict(question.code.versions),
        finished_at=datetime.now(UTC).isoformat(),
        device=device_name(run.device),
        trained=part.names,
        groups=list(_figures(run, groups, splits, trained, of_run, ranked.ranks)),
        run=ranking_metrics(of_run.ranks, of_run.is_unreachable),
        test=ranking_metrics(ranked.ranks.ranks, ranked.ranks.is_unreachable),
        users_without_group=int((groups.of(run.split.test.histories.users) == NONE).sum()),
        costs=_costs(part, ranked, catalogue),
    )
    write_members(groups, folder)
    write_ranks(ranked.ranks, run.split, folder)
    write_atomically(folder / RESULT_FILE, result.model_dump_json(indent=2).encode())  # last: then all of it is there


def _figures(
    run: RestoredRun,
    groups: Groups,
    splits: Sequence[Split],
    trained: Sequence[TrainedGroup],
    before: UserRanks,
    after: UserRanks,
) -> Iterator[GroupFigures]:
    group_of_user = groups.of(run.split.test.histories.users)
    for group, (split, how) in enumerate(zip(splits, trained, strict=True)):
        is_in = group_of_user == group
        yield GroupFigures(
            training_users=int(groups.sizes[group]),
            training_windows=len(split.windows),
            test_users=int(is_in.sum()),
            chosen_epoch=how.chosen_epoch,
            num_epochs=len(how.epochs),
            training_seconds=how.training_seconds,
            peak_memory_bytes=how.peak_memory_bytes,
            run=_metrics(before, is_in),
            test=_metrics(after, is_in),
        )


def _metrics(ranked: UserRanks, is_in: np.ndarray) -> Metrics:
    return ranking_metrics(ranked.ranks[is_in], ranked.is_unreachable[is_in]) if is_in.any() else {}


def _costs(part: Part, ranked: RankedByGroup, catalogue: Tensor) -> GroupsCosts:
    return GroupsCosts(
        part_bytes=part.num_bytes,
        parts=ranked.encodings,
        shared_bytes=part.shared_bytes,
        tower_bytes=frozen_tower_bytes(part.run),
        encoding_seconds=ranked.seconds,
        vector_bytes=catalogue.numel() * torch.float32.itemsize,
        part_parameters=part.num_parameters,
        shared_parameters=part.shared_parameters,
    )


def frozen_tower_bytes(run: RestoredRun) -> int:
    """Count what was pretrained and does not train, in whole towers, whether the run holds them or reads a store."""
    towers = load_towers(run.settings, with_weights=False).to(parameter_dtype(run.settings.trainer.precision))
    trained = (role.parameter for role in run.module.parameter_roles if role.origin == "pretrained" and role.group)
    return tensor_bytes([*towers.parameters(), *towers.buffers()]) - tensor_bytes(trained)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the folder of an answer, so that no other process trains it meanwhile; a place that cannot be written is
    told before anything is trained."""
    with no_empty_folders(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try_writing(folder)
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written ({error.strerror}); let this user write there and free space, or divide "
                f"the users of a copy of the run: cp -r {folder.parent.parent} COPY && peftrec groups run=COPY"
            ) from error
        holding = Holding(folder.with_name(f".{folder.name}.lock"))
        if not holding.acquire():
            raise UserError(
                f"{folder}: another process trains these groups; wait for it or stop it, then give the same command "
                "again"
            )
        try:
            yield
        finally:
            holding.release()
