"""The root schema: every key of the configuration, what it decides, and the checks that need more than one key.

Entry points compose it (`peftrec.settings.composition`); nothing below them reads a DictConfig.
"""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue
from pydantic.dataclasses import dataclass

from peftrec.config.fields import Named
from peftrec.config.instantiate import build_part, describe_part
from peftrec.config.roles import Cost, Place
from peftrec.config.strict import STRICT, FolderName
from peftrec.data.choices import TITLE
from peftrec.data.source import DataSource
from peftrec.errors import SettingsError, nearest_name
from peftrec.objectives.base import Objective
from peftrec.strategies.base import Strategy
from peftrec.towers.pair import TowerPair
from peftrec.user_encoders.base import UserEncoder

Decay = Literal["none", "inverse_square_root"]
Reuse = Literal["same_code", "despite_code"]
Monitor = Literal["hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr@5", "mrr@10", "mrr@20"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LearningRates:
    """Adam's learning rate per parameter group (see peftrec.training.parameter_groups), and how all of them change over
    the steps, by one factor."""

    text: float = Field(gt=0)
    """Pretrained parameters of the text tower that the strategy trains."""
    image: float = Field(gt=0)
    """Pretrained parameters of the image tower that the strategy trains."""
    others: Annotated[dict[str, Annotated[float, Field(gt=0)]], Named(of="towers")] = field(default_factory=dict)
    """Those of a tower beside these two, under its name (`learning_rates.NAME`). One that has no rate of its own takes
    that of the titles or images that it reads."""
    introduced: float = Field(gt=0)
    """What the strategy puts into or beside a tower."""
    recommender: float = Field(gt=0)
    """Projections, fusion head and user encoder."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimizer steps over which rates rise in equal parts to those above; 0 starts with them."""
    decay: Decay = "none"
    """What follows: rates stay, or fall with the inverse square root of the step, as after the warm-up of Transformers
    without Tears (arXiv:1910.05895)."""
    finer: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Rates of the strategy's own finer groups, by name (`Strategy.finer_groups`), in place of the one above that would
    hold them. A group that the configured variant does not build has no parameters, and its rate no effect."""

    def by_group(self, readers: Mapping[str, str] | None = None) -> dict[str, float]:
        """Return the rate of every optimizer group; `readers` are the towers that read titles or images, and which."""
        rates = {"text": self.text, "image": self.image}
        others = {
            name: self.others.get(name, rates[kind]) for name, kind in (readers or {}).items() if name not in rates
        }
        return {**rates, **others, "introduced": self.introduced, "recommender": self.recommender, **self.finer}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluationSettings:
    """How quality is measured; part of what two records must share to stand in one table."""

    mask_history: Literal["all", "all_but_target", "none"] = "all"
    """Which history items are not candidates; `all` makes repeated targets unreachable, as in the paper."""
    monitor: Monitor = "hr@10"
    """Validation metric that chooses the epoch; the paper uses hr@10."""
    patience: int = Field(default=10, ge=1)
    """Epochs without a better `monitor` before training stops."""
    max_score_bytes: Place[int] = Field(default=16 * 2**20, ge=2**16)
    """Size of one block of users x candidates scores; bounds memory, and a block that fits the cache is faster."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainerSettings:
    """Where and how long to train."""

    accelerator: Cost[Literal["auto", "cpu", "gpu", "mps"]] = "auto"
    """Where to train; `auto` takes a GPU where there is one."""
    devices: Cost[Annotated[int, Field(ge=1)] | Literal["auto"]] = 1
    """Devices of each node, one process each; on a CPU, processes. `auto` takes all visible CUDA devices, or one CPU.
    `batch_size` counts the users of all of them together. Where anything draws dropout, each process draws its own, and
    the number of processes is part of a run's name."""
    num_nodes: Cost[int] = Field(default=1, ge=1)
    """Machines; more than one needs srun or torchrun, which start the processes."""
    strategy: Cost[str] = "auto"
    """How Lightning joins the devices, by its name: `auto` and `ddp` are the same and tested; a strategy that divides
    the parameters (fsdp, deepspeed) is refused, because evaluation reads whole towers in every process."""
    negatives: Literal["gathered", "local"] = "gathered"
    """What several processes score against: the items of the whole batch, whose embeddings travel, or each one's own,
    which are fewer."""
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true"] = "auto"
    """`auto` is bf16-mixed on a CUDA device that computes in bfloat16, and 32-true elsewhere; the record says which.
    bf16-true also keeps weights, optimizer state and loss in bfloat16."""
    accumulate_batches: int = Field(default=1, ge=1)
    """Batches an optimizer step; the step follows the mean of their losses (also the last one of an epoch, which may
    have fewer and then counts less). It saves memory for a larger batch, but does not enlarge the pool of negatives."""
    gradient_checkpointing: Cost[bool] = False
    """Keep only the inputs of the blocks of towers that train, and compute the rest again in the backward pass. It
    changes nothing where no tower trains."""
    compile: Cost[bool] = False
    """torch.compile item and user encoder for training; evaluation stays as it is, so its figures do not depend on
    the compiler."""
    max_epochs: int = Field(default=30, ge=1)
    """Epochs at most; `evaluation.patience` may stop earlier."""
    max_steps_per_epoch: int | None = Field(default=None, ge=1)
    """Stop each epoch early; for debugging. Null trains on all batches."""
    overfit_batches: int | None = Field(default=None, ge=1)
    """Train on the same first batches in every epoch; for debugging. Null trains on all, in a new order each epoch."""
    detect_anomaly: Cost[bool] = False
    """Let torch name the operation that made the first value that is not finite; slow, for debugging."""
    num_workers: Cost[int] = Field(default=0, ge=0)
    """Loader processes that tokenise and decode; 0 does it in the training process."""
    decoded_image_bytes: Cost[int] = Field(default=512 * 2**20, ge=0)
    """Images are decoded once and kept where they all fit into this many bytes at the tower's size; 0 always decodes
    them when a batch asks, in the loader's workers."""
    is_deterministic: bool = True
    """Ask torch for deterministic kernels, so that a resumed run ends bit for bit like an uninterrupted one."""
    has_progress_bar: Place[bool] = True
    """A bar on a terminal; elsewhere, and in CI, a line an epoch on standard error. False shows neither."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StoreSettings:
    """Where hidden states of frozen towers are kept, and how precisely."""

    directory: Place[str]
    """Folder of all stores; each has a folder of its own in it, named by the hash of what it holds."""
    dtype: Literal["float32", "float16", "bfloat16", "int8", "int8_channels"] = "float32"
    """What a store holds; float16 takes half the space and fails where a state is too large for it, bfloat16 takes as
    much and holds any state less exactly; int8 takes a good quarter, with a scale for each 64 values of a state, and
    int8_channels a quarter, with scales that all items share, for which float32 is on the disk while it is built (see
    peftrec.models.towers.stored_precision)."""
    compute: Literal["float32", "bfloat16"] = "float32"
    """What the towers multiply in while a store is built; bfloat16 is faster on a GPU and less exact."""
    batch_size: Place[int] = Field(default=64, ge=1)
    """Items encoded at once while the store is built."""
    placement: Cost[Literal["auto", "device", "host", "disk"]] = "auto"
    """Where a run keeps the states that it reads; `auto` takes the device's memory where they leave half of it free,
    else the host's, else the disk (see peftrec.hidden_states.placement)."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LoggerSettings:
    """Trackers beside the record, which is always written. Several at once: `logger=[wandb,tensorboard]`."""

    csv: bool = True
    """Write `epochs.csv`, one row an epoch, beside the record."""
    wandb: Literal["disabled", "offline", "online"] = "disabled"
    """`offline` needs no account and writes into the run's folder what `wandb sync` sends; `online` sends at once."""
    wandb_project: str = "peftrec"
    """W&B project that runs belong to."""
    tensorboard: bool = False
    """Write event files into the run's folder, for `tensorboard --logdir RUNS_DIR`."""
    mlflow: bool = False
    """Write to MLflow: to the place that `mlflow_uri` names."""
    mlflow_uri: str | None = None
    """MLflow's tracking server or store. Null takes the variable MLFLOW_TRACKING_URI, or the file `mlflow.db` in
    `runs_dir`. It stands in records: user and password belong in variables."""

    def __post_init__(self) -> None:
        if self.mlflow_uri is not None and urlsplit(self.mlflow_uri).password is not None:
            raise SettingsError(
                "logger.mlflow_uri holds a password, which every record would show: leave it out, and set the variable "
                "MLFLOW_TRACKING_URI to that address, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """One run, completely."""

    name: Place[FolderName]
    """Name of the experiment: folder below `runs_dir`, and W&B group."""
    strategy_name: str
    """Name of the strategy's yaml; composition fills it in."""
    runs_dir: Place[Annotated[str, Field(min_length=1)]]
    """Folder of all experiments."""
    seed: int = Field(ge=0, lt=2**32)
    """Of everything random in a run: starts, order of users, dropout, random towers. The built-in data have a seed of
    their own."""
    embedding_dim: int = Field(default=64, ge=1)
    """Width of item embeddings and user states."""
    image_projection: Literal["uniform", "xavier_normal"] = "uniform"
    """How the layer that brings images to `embedding_dim` starts, where the strategy has one: as torch starts a linear
    layer, or Xavier-normal with a bias of zero, as in the published IISAN code. The text's starts as torch does there
    as well."""
    batch_size: int = Field(default=64, ge=2)
    """Users a step, on all devices together; also decides the number of in-batch negatives."""
    data: DataSource
    """What users did, what items are, and how histories are cut."""
    towers: TowerPair
    """The pretrained encoders."""
    strategy: Strategy
    """How the towers are adapted: what is compared."""
    user_encoder: UserEncoder
    """What reads a history."""
    objective: Objective
    """The training loss."""
    learning_rates: LearningRates
    """Adam's rates, by group of parameters."""
    evaluation: EvaluationSettings
    """How quality is measured."""
    trainer: TrainerSettings
    """Where and how long to train."""
    hidden_states: StoreSettings
    """The store of frozen towers' states."""
    logger: Place[LoggerSettings]
    """Trackers beside the record."""
    reuse: Place[Reuse] = "same_code"
    """Whether a run of the same settings and data may be taken as done, or go on, that other code or other versions of
    libraries began: no, or because you know better (`despite_code`). The record says which code did what."""

    def __post_init__(self) -> None:
        if self.strategy.reads_content and not self.towers.parts:
            raise SettingsError(
                "towers.text and towers.image are both null: set one, or choose a strategy that reads ids (strategy=id)"
            )
        self._check_texts()
        self._check_weights()
        self._check_offloading()
        self._check_competitors()
        self._check_finer_groups()
        self.user_encoder.check(dim=self.embedding_dim)

    def _check_texts(self) -> None:
        """Refuse a tower of a text that the data does not name."""
        known = [TITLE, *self.data.further_texts]
        for text, names in self.towers.text_readers.items():
            if text not in known:
                near = nearest_name(text, known)
                remedy = f"did you mean {near}?" if near else self.data.instead_of_text(text)
                raise SettingsError(
                    f"towers.{names[0]}.text={text}: the data has no such text, and has {', '.join(known)}; {remedy}"
                )

    def _check_weights(self) -> None:
        for name in self.towers.quantised:
            if (reason := self.strategy.refusal_of_int8()) is not None:
                raise SettingsError(
                    f"towers.{name}.weights=int8: strategy={self.strategy_name} {reason}; set "
                    f"towers.{name}.weights=float32, or take another strategy, as strategy=lora"
                )

    def _check_offloading(self) -> None:
        """Refuse to read a tower's weights from the disk in every step."""
        if self._runs_blocks:
            for name in self.towers.offloaded:
                raise SettingsError(
                    f"towers.{name}.offload=true: strategy={self.strategy_name} runs the tower's blocks in every step; "
                    f"take a strategy that reads pooled states from a store, as strategy=iisan_cached, or set "
                    f"towers.{name}.offload=false"
                )

    @property
    def _runs_blocks(self) -> bool:
        strategy = self.strategy
        return strategy.reads_content and (strategy.states == "live" or strategy.stored_form == "tokens")

    def _check_competitors(self) -> None:
        """Refuse to run towers over the whole catalogue in every step."""
        if self.objective.competitors().kind == "catalogue" and self._runs_blocks and not self.towers.feature_files():
            raise SettingsError(
                f"objective: {type(self.objective).__name__} scores against all items, and "
                f"strategy={self.strategy_name} would run towers over all of them in every step; set "
                "objective=sampled_softmax, or take a strategy that reads pooled states from a store, as "
                "strategy=iisan_cached, or ids, strategy=id"
            )

    def _check_finer_groups(self) -> None:
        known = self.strategy.finer_groups_over(self.towers.parts)
        for name in self.learning_rates.finer:
            if name not in known:
                has = f"has {', '.join(known)}" if known else "has none; leave learning_rates.finer out"
                raise SettingsError(
                    f"learning_rates.finer.{name}: strategy={self.strategy_name} has no such group; it {has}"
                )

    @property
    def experiment_directory(self) -> Path:
        """Folder that holds this experiment's runs."""
        return Path(self.runs_dir) / self.name


def settings_from_config(config: Mapping[str, Any]) -> Settings:
    """Build settings from a plain config: a composed one without interpolations, or the one that a record holds."""
    return build_part(Settings, config)


def settings_to_config(settings: Settings) -> dict[str, JsonValue]:
    """Return the plain config, defaults included, from which `settings_from_config` builds equal settings."""
    return describe_part(settings, Settings)
