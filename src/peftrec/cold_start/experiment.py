"""A job of the cold-start comparison: one method on one split with one seed, from settings to its result file."""

import hashlib
import json
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue
from pydantic.dataclasses import dataclass as part

from peftrec import __version__
from peftrec.cold_start.evaluation import evaluate
from peftrec.cold_start.factors import BPR, Factors, provide_factors
from peftrec.cold_start.method import Method, Task, Training
from peftrec.cold_start.pairs import ColdStartData, PairFiles
from peftrec.cold_start.result import ColdStartResult, EpochResult, write_result
from peftrec.config.strict import STRICT, FolderName
from peftrec.devices import device_name, resolve_device
from peftrec.errors import UserError
from peftrec.evaluation.ranking import NonFiniteScoresError

_WITHOUT_EFFECT = (("name",), ("runs_dir",), ("accelerator",), ("pairs", "name"), ("pairs", "root"), ("pairs", "note"))
_PACKAGES = ("torch", "lightning", "numpy", "scipy")


@part(frozen=True, kw_only=True, config=STRICT)
class ColdStartSettings:
    """One job, completely."""

    name: FolderName
    """Folder below `runs_dir`."""
    runs_dir: str
    seed: int = Field(ge=0, lt=2**32)
    """Of the pretrained factors and of the method."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Where a method with epochs trains."""
    pairs: PairFiles
    factors: BPR
    training: Training
    model: Method

    @property
    def directory(self) -> Path:
        """Where the results of this split lie."""
        return Path(self.runs_dir) / self.name / self.pairs.name


class Job:
    """Settings with what names their result."""

    def __init__(self, settings: ColdStartSettings, config: Mapping[str, JsonValue], data_hash: str) -> None:
        self.settings = settings
        self.config = dict(config)
        self.data_hash = data_hash
        decisive = _decisive(self.config)
        self.config_hash = _hash({"config": decisive, "data": data_hash, "version": __version__})
        decisive.pop("seed")
        self.setting_hash = _hash({"config": decisive, "data": data_hash, "version": __version__})

    @property
    def path(self) -> Path:
        """Return where the result lies, or will."""
        return self.settings.directory / f"{self.settings.model.name}-{self.config_hash[:12]}.json"

    def run(self, data: ColdStartData) -> None:
        """Train, choose on validation, score the test pairs once, and write the result.

        Raises UserError where training diverges.
        """
        try:
            write_result(self.path, self._result(data))
        except NonFiniteScoresError as error:
            raise UserError(f"{self.path.stem}: {error}") from error

    def _result(self, data: ColdStartData) -> ColdStartResult:
        settings = self.settings
        seconds = {"factors": 0.0}

        def factors() -> Factors:
            started = time.perf_counter()
            found = provide_factors(
                settings.factors,
                data,
                data_hash=self.data_hash,
                seed=settings.seed,
                directory=settings.directory / "factors",
            )
            seconds["factors"] = time.perf_counter() - started
            return found.standardised(data.cold_side)

        started = time.perf_counter()
        task = Task(
            data=data,
            training=settings.training,
            factors=factors,
            seed=settings.seed,
            accelerator=settings.accelerator,
        )
        fitted = settings.model.fit(task)
        seconds["fit"] = time.perf_counter() - started - seconds["factors"]
        validation = evaluate(fitted.scorer, data.validation, data.candidates_of(data.validation))
        candidates = data.candidates_of(data.test)
        started = time.perf_counter()
        test = evaluate(fitted.scorer, data.test, candidates)
        seconds["test"] = time.perf_counter() - started
        return ColdStartResult(
            config=self.config,
            config_hash=self.config_hash,
            setting_hash=self.setting_hash,
            data_hash=self.data_hash,
            pairs=settings.pairs.name,
            model=settings.model.name,
            seed=settings.seed,
            note=settings.pairs.note,
            versions={"peftrec": __version__, **{package: version(package) for package in _PACKAGES}},
            device=device_name(resolve_device(settings.accelerator)),
            counts={
                "users": data.num_users,
                "items": data.num_items,
                "training_pairs": len(data.train),
                "candidates": len(candidates),
                "test_users": int(test["num_users"]),
            },
            num_parameters=fitted.num_parameters,
            epochs=[EpochResult(loss=epoch.loss, validation=epoch.validation) for epoch in fitted.epochs],
            chosen=fitted.chosen,
            validation=validation,
            test=test,
            seconds=seconds,
        )


def _decisive(config: Mapping[str, JsonValue]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(config))
    for *parents, last in _WITHOUT_EFFECT:
        node = copy
        for parent in parents:
            node = node[parent]
        node.pop(last)
    return copy


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
