"""Lightning's Trainer as every run uses it: devices, and the callbacks in their order."""

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.plugins.precision import HalfPrecision
from lightning.pytorch.strategies import DDPStrategy, Strategy, StrategyRegistry
from torch.nn.parallel import DistributedDataParallel

from peftrec.errors import SettingsError, did_you_mean
from peftrec.models.towers.towers import Towers
from peftrec.processes import ProcessRank
from peftrec.progress.epochs import EpochBar, EpochLines
from peftrec.progress.terminal import give_bars_the_terminal, shows_progress
from peftrec.settings.run import EvaluationSettings, TrainerSettings
from peftrec.training.checkpoint import LAST, AtomicCheckpointIO, checkpoint_path, epochs_to_train, keep_best, keep_last

_SYNCS_BUFFERS = (  # torch 2.13 renamed it
    "forward_sync_buffers"
    if "forward_sync_buffers" in signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
_OWN_PROCESSES = ("spawn", "fork", "notebook")  # strategies that start processes themselves; ours are started already


def build_trainer(
    settings: TrainerSettings,
    evaluation: EvaluationSettings,
    run_directory: Path,
    processes: ProcessRank,
    *,
    measuring: Sequence[Callback],
) -> Trainer:
    """Return the Trainer of a run whose process group is joined already."""
    has_bar = settings.has_progress_bar and shows_progress()
    if has_bar:
        give_bars_the_terminal()
    monitor = f"val/{evaluation.monitor}"
    stopping = EarlyStopping(monitor=monitor, mode="max", patience=evaluation.patience)
    progress: list[Callback] = []
    if settings.has_progress_bar:
        lines = EpochLines(monitor=monitor, max_epochs=settings.max_epochs)
        progress = [EpochBar() if has_bar else lines]
    return plain_trainer(
        settings,
        processes,
        # The order of the callbacks is the order of their work: measure, record, decide, then save what all decided.
        callbacks=[
            *measuring,
            *progress,
            stopping,
            keep_best(run_directory, evaluation.monitor),
            keep_last(run_directory),
        ],
        max_epochs=epochs_to_train(checkpoint_path(run_directory, LAST), settings.max_epochs),
        logger=False,  # trackers are fed from the record (peftrec.trackers)
        log_every_n_steps=1,  # nothing is logged by step; the default of 50 only warns about short epochs
        default_root_dir=run_directory,
        enable_progress_bar=has_bar,
    )


def plain_trainer(
    settings: TrainerSettings, processes: ProcessRank, *, callbacks: Sequence[Callback], **options: Any
) -> Trainer:
    """Return a Trainer that takes its steps as every run does; `options` are Lightning's, for all that is no step."""
    is_half = settings.precision == "bf16-true"
    # Named, so that Lightning never takes a Slurm job of one task for more than it is.
    cluster: ClusterEnvironment = TorchElasticEnvironment() if processes.are_several else LightningEnvironment()
    return Trainer(
        accelerator=settings.accelerator,
        devices=processes.count // processes.num_nodes,
        num_nodes=processes.num_nodes,
        strategy=lightning_strategy(settings.strategy, processes),
        precision=None if is_half else settings.precision,  # type: ignore[arg-type]  # `auto` is resolved
        accumulate_grad_batches=settings.accumulate_batches,
        detect_anomaly=settings.detect_anomaly,
        deterministic=settings.is_deterministic,
        callbacks=list(callbacks),
        plugins=[AtomicCheckpointIO(), cluster, *([WholeBfloat16("bf16-true")] if is_half else [])],
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **options,
    )


class WholeBfloat16(HalfPrecision):
    """Lightning's own, for frozen batches: it would convert them in place, and they hold no floats that need it."""

    def convert_input(self, data: Any) -> Any:
        return data


def lightning_strategy(name: str, processes: ProcessRank) -> str | Strategy:
    """Return what joins the processes. Raises SettingsError for a name that cannot work here."""
    check_strategy(name)
    if not processes.are_several:
        return "auto"
    if name in ("auto", "ddp"):
        constant_buffers: dict[str, Any] = {_SYNCS_BUFFERS: False}  # equal in all processes from the start
        return DDPStrategy(**constant_buffers)
    return name


def check_strategy(name: str) -> None:
    """Raise SettingsError unless it is `auto` or one of Lightning's that keep whole parameters in every process."""
    fitting = [
        each
        for each in StrategyRegistry.available_strategies()
        if each.startswith("ddp") and not any(word in each for word in _OWN_PROCESSES)
    ]
    if name == "auto" or name in fitting:
        return
    if name not in StrategyRegistry.available_strategies():
        raise SettingsError(
            f"trainer.strategy: {name} is no strategy of Lightning; {did_you_mean(name, ('auto', *fitting))}"
        )
    raise SettingsError(
        f"trainer.strategy: {name} divides parameters or starts processes itself, which evaluation and launching here "
        f"do not allow; choose one of auto, {', '.join(fitting)}"
    )


def checkpoint_activations(towers: Towers, **options: Any) -> None:
    """Let the blocks of towers that train keep their inputs alone; `options` are torch's for checkpointing."""
    for tower in towers.present().values():
        if any(parameter.requires_grad for parameter in tower.parameters()):
            encoder = tower.encoder
            # transformers renamed the method in 5.23; the old name warns there, the new one is missing before.
            enable = getattr(encoder, "activation_checkpointing_enable", None) or encoder.gradient_checkpointing_enable
            enable({"use_reentrant": False, **options})
            # It lets the embedded words have a gradient, which re-entrant checkpointing needed: ours would go backward
            # through blocks below the lowest one that trains.
            encoder.disable_input_require_grads()
