"""The record of a run: one JSON file that tables, figures and trackers read, and nothing else.

Missing is null, never a sentinel; quality is a fraction (0.06, not 6.0); sizes are bytes and times seconds.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from peftrec.errors import RecordError
from peftrec.files import write_atomically
from peftrec.results.bounds import Amount, Bytes, Count
from peftrec.results.costs import Efficiency, Epoch, Metrics, Serving
from peftrec.results.earlier_schemas import SCHEMA_VERSION, schema_version, upgraded
from peftrec.results.process import Process, is_alive
from peftrec.results.record_part import RecordPart
from peftrec.results.side_by_side import SideBySide

RECORD_FILE = "record.json"
RANKS_FILE = "ranks.parquet"

Status = Literal["running", "success", "pruned", "failed", "out_of_memory", "interrupted"]
OVER: frozenset[Status] = frozenset({"success", "pruned"})
"""Ended well, or stopped between two epochs by the tuner that it was a trial of: there is nothing left to train."""
Kind = Literal["train", "trial"]
"""A run whose test set is scored, or a trial of a tuning, which chooses settings and never sees the test set."""


class Provenance(RecordPart):
    """What decided the result besides configuration and code, as hashes."""

    data_hash: str
    """Of candidates, training windows and targets, with the names of users and items, whatever reads them."""
    content_hashes: dict[str, str] = Field(default_factory=dict)
    """Tower to the hash of the titles or images."""
    tower_revisions: dict[str, str]
    """Tower to the hash of its weights (or of its config and seed where they are random)."""
    vectors: dict[str, str] = Field(default_factory=dict)
    """Tower to how its states become a vector, as it was configured, or the checkpoint or family says."""


class Stretch(RecordPart):
    """What a run was trained with, from one start to its end or to the next start."""

    first_epoch: Count
    """The first epoch of the stretch; the first of all is 0."""
    started_at: str
    """ISO 8601 in UTC."""
    started_in: str | None = None
    """The folder that relative places of the configuration begin in; null in records that did not keep it."""
    modules: dict[str, str]
    """Modules that decide the result, each with the hash of what it does (see peftrec.code)."""
    packages: dict[str, str]
    """Versions of the packages that decide the result, without the local part."""
    reuse: str = "same_code"
    """`despite_code` where the user had it go on, or taken as done, under other code than it began with."""
    versions: dict[str, str]
    """Package name to version: peftrec, torch, lightning, transformers, peft, python."""
    git_commit: str | None
    git_dirty: bool | None
    device: str
    """Name of the device: `NVIDIA H200`, or the CPU's model name."""
    num_devices: Count = 1  # on all nodes; one process each
    num_nodes: Count = 1
    conditions: dict[str, JsonValue] = Field(default_factory=dict)
    """What costs depend on besides devices and versions: keys of the configuration, where states lie, threads, clocks.
    Null where a condition says nothing about this run: one that reads no store has no placement."""
    condition_roles: dict[str, str] = Field(default_factory=dict)
    """What each condition is: `cost` or `result`, as a key of the configuration, or `environment`, as it was found."""

    @property
    def devices(self) -> str:
        """Name and number of the devices: costs compare only where these are equal."""
        nodes = f" on {self.num_nodes} nodes" if self.num_nodes > 1 else ""
        return self.device if self.num_devices == 1 else f"{self.num_devices} x {self.device}{nodes}"


class DataSummary(RecordPart):
    """Size of what was ranked, to stand beside every figure."""

    num_users: Count
    num_items: Count
    num_candidates: Count
    num_interactions: Count
    num_training_sequences: Count
    num_unreachable_validation: Count
    num_unreachable_test: Count
    """Targets that the history mask excludes, so that no method can hit them."""
    num_cold_test: Count
    """Test targets without a training interaction."""
    counts: dict[str, Count]
    """What data policies did (items dropped, images blanked, ...), and whom a time split left out."""
    validation_from: int | float | None = None
    """When validation starts, in the unit of the timestamps; null where the split is not by time."""
    test_from: int | float | None = None


class ParameterCounts(RecordPart):
    """Unique tensors by origin; see peftrec.training.parameter_groups."""

    trainable: Count
    total: Count
    by_origin: dict[str, dict[str, Count]]
    """Origin (`pretrained`, `introduced`, `recommender`) to `trainable` and `frozen` counts."""
    groups: dict[str, dict[str, Amount | Count]]
    """Optimizer group (`text`, `image`, `introduced`, `recommender`) to `learning_rate` and `parameters`."""
    role: dict[str, str]
    """Name of every parameter to `<origin>/frozen` or `<origin>/<optimizer group>`."""
    user_encoder_start: str | None = None
    """Hash of the user encoder's values before training; null in records of before."""


class Evaluation(RecordPart):
    """Quality on the test set, scored once from the chosen checkpoint."""

    test: Metrics
    test_segments: dict[str, dict[str, Amount]]
    """`warm`, `cold`, `head`, `tail`, `history_5_to_9`, ...; each also holds `num_users`."""
    validation: Metrics
    baselines: dict[str, Metrics]
    """`popularity` and `random` on the same users, candidates and mask."""

    @model_validator(mode="after")
    def _check_segments(self) -> Self:
        for name, figures in self.test_segments.items():
            if "num_users" not in figures or any(value > 1 for key, value in figures.items() if key != "num_users"):
                raise ValueError(f"test_segments.{name} holds no num_users, or a figure above 1")
        return self


class Record(RecordPart):
    """Everything a run leaves, besides checkpoints and ranks."""

    schema_version: Literal[3] = SCHEMA_VERSION
    run_id: str
    """`<strategy>-<hash>`, also the name of the run's folder."""
    experiment: str
    strategy: str
    """Name of the strategy's yaml, `lora`."""
    seed: int
    status: Status
    error: str | None = None
    process: Process
    kind: Kind = "train"
    config: dict[str, JsonValue]
    roles: dict[str, str]
    """Keys of `config` that do not decide the result, each with what it decides: `cost` or `place`."""
    question_hash: str
    """Hash of what the run asks: what decides the result but the code. Runs that share it differ in their code."""
    code_hash: str
    """Hash of the code and the libraries that decide the result; the run's name is made of both hashes."""
    comparison_hash: str
    """Hash of what must be equal for two records to stand in one table row set: data, split, evaluation."""
    provenance: Provenance
    stretches: list[Stretch] = Field(min_length=1)
    """One for each time that the run was started, or went on, and trained."""
    data: DataSummary | None = None
    parameters: ParameterCounts | None = None
    epochs: list[Epoch] = Field(default_factory=list)
    chosen_epoch: Count | None = None
    negatives_per_positive: Amount | None = None
    """Mean number of distinct items, outside its own window, that a position competes with (peftrec.data.negatives)."""
    competitors: str | None = None
    """What these are: the items of the `batch`, with `sampled` ones, or the `catalogue`."""
    store: str | None = None
    """Name of the hidden-state store that the run reads (in hidden_states.directory); null where it reads none."""
    efficiency: Efficiency | None = None
    serving: Serving | None = None
    evaluation: Evaluation | None = None
    """Null until the run has ended well, and always in a trial."""
    checkpoint_bytes: Bytes | None = None
    side_by_side: SideBySide | None = None
    """What a step costs beside those of other runs, where `peftrec measure` has timed them in turns."""

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind == "trial" and self.evaluation is not None:
            raise ValueError("a trial has no evaluation: its test set is never scored")
        return self

    @model_validator(mode="after")
    def _check_epochs(self) -> Self:
        if [epoch.epoch for epoch in self.epochs] != list(range(len(self.epochs))):
            raise ValueError("epochs do not follow each other from zero")
        if self.chosen_epoch is not None and self.chosen_epoch >= len(self.epochs):
            raise ValueError(f"chosen_epoch is {self.chosen_epoch}, of {len(self.epochs)} epochs counted from zero")
        return self

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to train."""
        return self.status in OVER

    @property
    def chosen_validation(self) -> Metrics | None:
        """Validation figures of the chosen epoch, null where none is chosen yet."""
        return None if self.chosen_epoch is None else self.epochs[self.chosen_epoch].validation

    @property
    def chosen_epoch_from_one(self) -> int | None:
        """The chosen epoch as people count; the record itself counts from zero."""
        return None if self.chosen_epoch is None else self.chosen_epoch + 1

    @property
    def latest(self) -> Stretch:
        """The stretch that the costs are of."""
        return self.stretches[-1]

    def effective_status(self) -> Status:
        """Return the status, `interrupted` where the record says `running` and its process is gone from this host."""
        if self.status == "running" and not is_alive(self.process):
            return "interrupted"
        return self.status


def write_record(record: Record, run_directory: Path) -> None:
    """Write `record.json` so that a crash leaves the old one or the new one, never half of either."""
    write_atomically(run_directory / RECORD_FILE, record.model_dump_json(indent=2).encode())


_MALFORMED = (AttributeError, TypeError, ValueError, LookupError, RecursionError)
"""What bringing an earlier record to this schema raises where it is none."""
_REMEDY = "remove it, and the command of the run goes on from its last checkpoint, or trains anew"
ANEW = "remove the folder of the run and give its command again"
"""How a run that says it is finished is trained once more: its command alone finds it finished already."""


def read_record(path: Path) -> Record:
    """Read a run folder's record, or a record file; RecordError names the file and the key that is wrong."""
    is_folder_of_a_run = path.is_dir() and path.name != RECORD_FILE
    file = path / RECORD_FILE if is_folder_of_a_run else path
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise RecordError(f"{file}: no such record; is {path} the folder of a run?") from error
    except OSError as error:
        raise RecordError(f"{file}: cannot be read ({error.strerror}); {_REMEDY}") from error
    try:
        return Record.model_validate_json(upgraded(content))
    except ValidationError as error:
        if (version := schema_version(content)) is not None and version > SCHEMA_VERSION:
            raise RecordError(
                f"{file}: of schema {version}, which a newer peftrec wrote; this one reads up to {SCHEMA_VERSION}: "
                "install the newer one"
            ) from error
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{file}: {key or 'the file'}: {first['msg']}; the record is malformed; {_REMEDY}") from error
    except _MALFORMED as error:
        raise RecordError(f"{file}: the record is malformed ({type(error).__name__}); {_REMEDY}") from error


def read_finished(run_directory: Path) -> Record:
    """Read the record of a run that is finished, for those who ask what it learnt.

    Raises RecordError where it is not, or where the path is no folder of a run.
    """
    if run_directory.is_file():
        raise RecordError(f"{run_directory}: a file; name the folder of the run: {run_directory.parent}")
    record = read_record(run_directory)
    if record.kind == "trial":
        raise RecordError(
            f"{run_directory}: a trial of a tuning, which keeps no parameters and never scored the test set; name a "
            "run that was trained with the chosen settings (`peftrec tune` trains them over final_seeds)"
        )
    if (status := record.effective_status()) != "success":
        raise RecordError(
            f"{run_directory}: the run is not finished ({status}); give again the command that started it"
        )
    return record
