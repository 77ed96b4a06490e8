"""MLflow: one run a run, by Lightning's logger; curves, settings and tags, and the record as an artifact.

MLflow takes no `@` in a name, so that figures stand there by their aliases (`test_hr_at_10`) alone.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from peftrec.errors import SettingsError
from peftrec.files import Holding
from peftrec.results.costs import Epoch
from peftrec.results.record import RECORD_FILE, Record
from peftrec.settings.run import LoggerSettings
from peftrec.settings.run_identity import flat_config
from peftrec.trackers.figures import (
    EPOCH,
    TrialName,
    epoch_figures,
    epoch_number,
    final_figures,
    group_of,
    name_of,
    numbers,
)
from peftrec.trackers.reaching import NotReachedError, reach

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI_VARIABLE = "MLFLOW_TRACKING_URI"
STORE_FILE = "mlflow.db"
ARTIFACTS_FOLDER = "mlflow"
RECORD_COPY = "record_of_run.json"
"""The record among the artifacts. These lie below `runs_dir`, where every `record.json` counts as a run."""
TAG = "peftrec.run_id"
_SQLITE = "sqlite:///"
_NOT_IN_NAMES = re.compile(r"[^\w/. :-]")
_LOOK_SECONDS = 0.05
_ENDED = {"success": "FINISHED", "pruned": "FINISHED", "interrupted": "KILLED"}


class MlflowRun:
    """A run of MLflow; one that was interrupted is gone on with."""

    name: ClassVar[str] = "MLflow"
    without: ClassVar[str] = "logger.mlflow=false"

    def __init__(
        self, settings: LoggerSettings, record: Record, run_directory: Path, *, trial: TrialName | None = None
    ) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a run talks to nobody whom its user did not name
        import mlflow.exceptions

        for talkative in ("mlflow", "alembic", "lightning.pytorch.loggers.mlflow"):
            logging.getLogger(talkative).setLevel(logging.ERROR)  # what is made where nothing was
        self.failures: tuple[type[Exception], ...] = (mlflow.exceptions.MlflowException, OSError)
        self.record = record
        self.run_directory = run_directory
        self.trial = trial
        self.runs_dir = Path(str(record.config["runs_dir"])).resolve()
        self.uri = tracking_uri(settings, self.runs_dir)

    def begin(self) -> int:
        from lightning.pytorch.loggers import MLFlowLogger

        with self._alone():
            self.logger = MLFlowLogger(
                experiment_name=group_of(self.record),
                run_name=name_of(self.record, self.trial),
                tracking_uri=self.uri,
                tags=self._tags(),
                artifact_location=(self.runs_dir / ARTIFACTS_FOLDER).as_uri() if self._is_file else None,
                run_id=self._found(),
            )
            client, run_id = self.logger.experiment, str(self.logger.run_id)
        client.update_run(run_id, status="RUNNING")
        known = {*client.get_run(run_id).data.params}
        settings = {_in_name(key): value for key, value in flat_config(self.record.config).items()}
        self.logger.log_hyperparams({key: value for key, value in settings.items() if key not in known})
        return max((int(each.value) for each in client.get_metric_history(run_id, EPOCH)), default=0)

    def log(self, epoch: Epoch) -> None:
        self.logger.log_metrics(_allowed(epoch_figures(epoch)), step=epoch_number(epoch))

    def end(self, record: Record) -> None:
        figures = final_figures(record)
        self.logger.log_metrics(_allowed(numbers(figures)), step=len(record.epochs))
        client, run_id = self.logger.experiment, str(self.logger.run_id)
        for key in ("status", "efficiency/memory_source", "efficiency/store_placement"):
            if key in figures:
                client.set_tag(run_id, key, figures[key])
        client.log_text(run_id, (self.run_directory / RECORD_FILE).read_text(encoding="utf-8"), RECORD_COPY)
        self.logger.finalize(_ENDED.get(record.status, "FAILED"))

    @property
    def _is_file(self) -> bool:
        return self.uri.startswith(_SQLITE)

    def _tags(self) -> dict[str, str]:
        record = self.record
        tags = {TAG: record.run_id, "strategy": record.strategy, "seed": str(record.seed), "kind": record.kind}
        return tags if self.trial is None else {**tags, "trial": str(self.trial.number), "origin": self.trial.origin}

    def _found(self) -> str | None:
        """Return MLflow's own id of this run where it was begun before and is gone on with."""
        if len(self.record.stretches) == 1:
            return None
        client = _client(self.uri)
        experiment = client.get_experiment_by_name(group_of(self.record))
        if experiment is None:
            return None
        found = client.search_runs([experiment.experiment_id], filter_string=f"tags.`{TAG}` = '{self.record.run_id}'")
        return str(found[0].info.run_id) if found else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other jobs of a sweep out while a file is made and brought up to date, or an experiment is made."""
        if not self._is_file:
            yield
            return
        store = Path(self.uri.removeprefix(_SQLITE))
        holding = Holding(store.with_name(f".{store.name}.lock"))
        while not holding.acquire():
            sleep(_LOOK_SECONDS)
        try:
            yield
        finally:
            holding.release()


def tracking_uri(settings: LoggerSettings, runs_dir: Path) -> str:
    """Return where runs are tracked: what the settings name, else the variable, else a file beside the runs."""
    return settings.mlflow_uri or os.environ.get(URI_VARIABLE) or f"{_SQLITE}{runs_dir.resolve() / STORE_FILE}"


def check_server(settings: LoggerSettings) -> None:
    """Raise SettingsError where MLflow's server, if one is named, does not answer."""
    server = settings.mlflow_uri or os.environ.get(URI_VARIABLE) or ""
    if urlsplit(server).scheme not in ("http", "https"):
        return
    try:
        reach(server)
    except NotReachedError as error:
        named = "logger.mlflow_uri" if settings.mlflow_uri else URI_VARIABLE
        raise SettingsError(
            f"logger.mlflow=true: {error}; correct {named}, leave it out to track in a file, or set logger.mlflow=false"
        ) from error


def _client(uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(uri)


def _in_name(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)


def _allowed(figures: Mapping[str, Any]) -> dict[str, float]:
    return {_in_name(name): value for name, value in figures.items() if "@" not in name}
