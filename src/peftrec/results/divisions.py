"""What a division of a run's users into groups leaves beside the run: one file of figures."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue, ValidationError

from peftrec.errors import RecordError
from peftrec.results.bounds import Bytes, Count, Seconds
from peftrec.results.costs import Metrics
from peftrec.results.record import read_record
from peftrec.results.record_part import RecordPart

DIVISIONS = "groups"
"""Folder of all divisions of a run's users, in the run's folder."""
RESULT_FILE = "groups.json"


class GroupFigures(RecordPart):
    """One group."""

    training_users: Count
    training_windows: Count
    test_users: Count
    chosen_epoch: Count
    """The first is 0."""
    num_epochs: Count
    training_seconds: Seconds
    peak_memory_bytes: Bytes | None = None
    """In training, as a run's; null where no allocator's log said it."""
    run: Metrics
    """Of its test users, by the run's own weights; empty where it has none."""
    test: Metrics
    """Of the same users, by the group's."""


class GroupsCosts(RecordPart):
    """What serving by groups takes, beside serving the run itself."""

    part_bytes: Bytes
    """Of what was trained for one group."""
    parts: Count
    """That are kept: one a group, and the run's own where test users are in no group. Each encodes the catalogue."""
    shared_bytes: Bytes
    """Of what the run trained and all groups share: the user encoder, above all."""
    tower_bytes: Bytes
    """Of what was pretrained and is not trained: kept once, whoever is served."""
    encoding_seconds: Seconds
    """To encode the catalogue once, the median over groups."""
    vector_bytes: Bytes | None = None
    """Of the catalogue's vectors by one part, as a service holds them; null in results of before, as what follows."""
    part_parameters: Count | None = None
    shared_parameters: Count | None = None

    @property
    def kept_bytes(self) -> int:
        """Of all trained tensors."""
        return self.shared_bytes + self.parts * self.part_bytes

    @property
    def vectors(self) -> int | None:
        """Bytes of the catalogue's vectors by all parts."""
        return None if self.vector_bytes is None else self.parts * self.vector_bytes

    def trainable_parameters(self, num_groups: int) -> int | None:
        """Count what trains: a part a group, and what they share, once."""
        if self.part_parameters is None or self.shared_parameters is None:
            return None
        return self.shared_parameters + num_groups * self.part_parameters


class GroupsResult(RecordPart):
    """A finished division of a run's users."""

    config: dict[str, JsonValue]
    """Settings without the run's place."""
    run_id: str
    question_hash: str
    """Of run and settings; results that share it differ in their code."""
    modules: dict[str, str]
    """Module to the hash of what it does, for the code that answered."""
    packages: dict[str, str]
    """Package to version, without the local part."""
    finished_at: str
    """In UTC."""
    device: str
    trained: list[str]
    """Names of the tensors that each group has for itself."""
    groups: list[GroupFigures]
    run: Metrics
    """Of all test users, by the run's own weights."""
    test: Metrics
    """Of the same users, each by the weights of the group."""
    users_without_group: Count
    """Test users who do not train, and whom the run's own weights rank."""
    costs: GroupsCosts


@dataclass(frozen=True, kw_only=True)
class FoundGroups:
    """A result where it lies, with the ranks of each test user beside it."""

    folder: Path
    result: GroupsResult


def read_result(folder: Path) -> GroupsResult:
    """Read a finished division. Raises RecordError."""
    file = folder / RESULT_FILE
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RecordError(
            f"{file}: cannot be read ({error.strerror}); remove {folder} and give the command again"
        ) from error
    try:
        return GroupsResult.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise RecordError(
            f"{file}: {key or 'the file'}: {first['msg']}; no result of this version: remove {folder} and give the "
            "command again"
        ) from error


def read_division(run: Path, folder: Path) -> FoundGroups:
    """Read a finished division of a run. Raises RecordError, for one of another run too: its parts were trained from
    other weights, and would answer beside a user encoder that is not theirs."""
    result, own = read_result(folder), read_record(run).run_id
    if result.run_id != own:
        raise RecordError(
            f"{folder}: a division of the users of {result.run_id}, and not of {own}; move the folder back to "
            f"{DIVISIONS} of that run, or remove it"
        )
    return FoundGroups(folder=folder, result=result)


def find_results(run: Path, asked: Path | None = None, *, unreadable: list[str] | None = None) -> list[FoundGroups]:
    """Return the finished divisions of a run, fewest groups first; of each question the one in the folder `asked`, or
    what the latest code answered.

    What is wrong with one goes into `unreadable`, and it is left out; without that list it raises RecordError.
    """
    found = []
    for file in sorted((run / DIVISIONS).glob(f"*/{RESULT_FILE}")):
        try:
            found.append(read_division(run, file.parent))
        except RecordError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
    latest: dict[str, FoundGroups] = {}
    for each in sorted(found, key=lambda each: (each.folder == asked, each.result.finished_at)):
        latest[each.result.question_hash] = each
    return sorted(latest.values(), key=lambda each: (len(each.result.groups), each.folder.name))
