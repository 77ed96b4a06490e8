"""A job of the cold-start comparison: one method on one split with one seed, from settings to its result file."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue
from pydantic.dataclasses import dataclass as part

from peftrec import __version__
from peftrec.code.fingerprint import take_fingerprint
from peftrec.code.user_code import sources
from peftrec.cold_start.evaluation import evaluate
from peftrec.cold_start.factors import BPR, Factors, provide_factors
from peftrec.cold_start.method import Method, Task, Training
from peftrec.cold_start.pairs import ColdStartData, PairFiles
from peftrec.cold_start.result import ColdStartResult, EpochResult, write_result
from peftrec.config.roles import Cost, Place, roles_of, without
from peftrec.config.strict import STRICT, FolderName
from peftrec.devices import device_name, resolve_device
from peftrec.errors import UserError
from peftrec.evaluation.ranking import NonFiniteScoresError
from peftrec.settings.run_identity import digest, part_modules

KIND = "cold_start"
_PACKAGES = ("torch", "lightning", "numpy", "scipy")


@part(frozen=True, kw_only=True, config=STRICT)
class ColdStartSettings:
    """One job, completely."""

    name: Place[FolderName]
    """Folder below `runs_dir`."""
    runs_dir: Place[str]
    """Folder of all results."""
    seed: int = Field(ge=0, lt=2**32)
    """Of the pretrained factors and of the method."""
    accelerator: Cost[Literal["auto", "cpu", "gpu", "mps"]] = "auto"
    """Where a method with epochs trains."""
    pairs: PairFiles
    """The split: who took what, and what describes those who are cold."""
    factors: BPR
    """The pretrained factors, which content is fitted to."""
    training: Training
    """How a method with epochs is trained."""
    model: Method
    """The method that ranks."""

    @property
    def directory(self) -> Path:
        """Where the results of this split lie."""
        return Path(self.runs_dir) / self.name / self.pairs.name


class Job:
    """Settings with what names their result: the question, and the code that answers it, as of a run."""

    def __init__(self, settings: ColdStartSettings, config: Mapping[str, JsonValue], data_hash: str) -> None:
        self.settings = settings
        self.config = dict(config)
        self.data_hash = data_hash
        self.code = take_fingerprint([__name__, *part_modules(settings)], _PACKAGES, sources())
        deciding = without(config, roles_of(settings))
        self.question_hash = digest({"kind": KIND, "config": deciding, "data": data_hash})
        self.setting_hash = digest({"kind": KIND, "config": without(deciding, ["seed"]), "data": data_hash})

    @property
    def path(self) -> Path:
        """Return where the result lies, or will."""
        name = digest([self.question_hash, self.code.digest])[:12]
        return self.settings.directory / f"{self.settings.model.name}-{name}.json"

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
            question_hash=self.question_hash,
            setting_hash=self.setting_hash,
            modules=dict(self.code.modules),
            packages=dict(self.code.versions),
            finished_at=datetime.now(UTC).isoformat(),
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
