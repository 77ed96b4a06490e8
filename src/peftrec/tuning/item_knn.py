"""Item-kNN tuned on validation, in this process: what a trained strategy must beat has had its trials too."""

from typing import TYPE_CHECKING, cast

from hydra import compose
from omegaconf import OmegaConf
from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.composition import composer
from peftrec.config.instantiate import build_part
from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.evaluation.item_knn import NUM_NEIGHBOURS, ItemKnn, Similarity
from peftrec.results.costs import Metrics
from peftrec.settings.run import Settings
from peftrec.tuning.combinations import Combination
from peftrec.tuning.settings import TuneSettings
from peftrec.tuning.spaces import Space, Values, read_space
from peftrec.tuning.study import StrategyStudy

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from peftrec.data.split import Split

NAME = "item_knn"
_FILE = f"search/{NAME}"
_TRIALS_OF_SECONDS = 20
"""Where strategies have seconds of training and no number of trials: it trains for none."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ItemKnnSettings:
    """What is tuned, with the defaults that stand in every record."""

    neighbours: int = Field(default=NUM_NEIGHBOURS, ge=1)
    similarity: Similarity = "cosine"
    shrinkage: float = Field(default=0.0, ge=0)

    def method(self) -> ItemKnn:
        """Return the method as baselines take it."""
        return ItemKnn(neighbours=self.neighbours, similarity=self.similarity, shrinkage=self.shrinkage)


def item_knn_space() -> Space:
    """Read and check the space. Raises SettingsError that names file and key."""
    with composer():
        node = cast("dict[str, object]", OmegaConf.to_container(compose(_FILE)["search"], resolve=True))
    space = read_space(node, f"{_FILE}.yaml")
    for key, dimension in space.dimensions.items():
        for value in dimension.ends():
            try:
                build_part(ItemKnnSettings, {key: value})
            except SettingsError as error:
                raise SettingsError(f"{_FILE}.yaml: space.{key}: {error}") from error
    return space


def open_item_knn(storage: "BaseStorage", space: Space, settings: TuneSettings, data: Values) -> StrategyStudy:
    """Open its study; `data` says of which data its trials are."""
    defaults = ItemKnnSettings()
    start: Values = {key: getattr(defaults, key) for key in space.dimensions}
    plan: Values = {
        **data,
        "space": space.model_dump(mode="json"),
        "sampler": settings.sampler,
        "sampler_seed": settings.sampler_seed,
    }
    return StrategyStudy(
        storage,
        combination=Combination(strategy=NAME),
        space=space,
        starts=[("defaults", {}, start)],
        plan=plan,
        settings=settings,
        stops_early=False,
    )


def tune_item_knn(study: StrategyStudy, settings: TuneSettings, run: Settings, split: "Split") -> Metrics | None:
    """Run its trials on validation, then score the test set once with the best; None where none has ended."""
    from peftrec.evaluation.baselines import item_knn_baseline
    from peftrec.training.run.scoring import baseline_cases, training_matrix

    training = training_matrix(split)
    cases = baseline_cases(split, split.validation, run.evaluation)
    monitor = run.evaluation.monitor
    waiting = study.running()
    while waiting or study.begun() < (settings.budget.trials or _TRIALS_OF_SECONDS):
        trial = waiting.pop(0) if waiting else study.ask()
        method = build_part(ItemKnnSettings, study.changes_of(trial)).method()
        value = item_knn_baseline(training, cases, method)[monitor]
        study.tell(trial.number, state="complete", value=value, result={"value": value})
    best = study.best()
    if best is None:
        return None
    method = build_part(ItemKnnSettings, best.changes).method()
    return item_knn_baseline(training, baseline_cases(split, split.test, run.evaluation), method)
