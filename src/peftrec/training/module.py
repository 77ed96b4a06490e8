"""The one LightningModule: every strategy, user encoder and objective trains and is evaluated by this loop."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from peftrec.data.batches import ItemBatch, SequenceBatch
from peftrec.data.content import ItemContent
from peftrec.errors import CheckpointError
from peftrec.evaluation.metrics import RankCollector, ranking_metrics
from peftrec.evaluation.ranking import HistoryMask, rank_by_embedding
from peftrec.models.adaptation_schedule import AdaptationSchedule
from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.models.recommender import Recommender
from peftrec.processes import ALONE, ProcessRank
from peftrec.settings.run import Decay
from peftrec.training.adam import Adam
from peftrec.training.collectives import gather_rows
from peftrec.training.divergence import check_losses
from peftrec.training.encoding import encode_items
from peftrec.training.learning_rates import rate_factor
from peftrec.training.parameter_groups import ParameterRole, optimizer_groups
from peftrec.training.ranking_loader import RankingBatch

_ADAPTATION = "adaptation"  # key in a checkpoint
CATALOGUE_PART = 2048
"""Items whose states are in memory at once where a whole catalogue is encoded in every step."""


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """What the loop needs to know besides the model."""

    learning_rates: Mapping[str, float]
    """The largest of each group: warm-up leads to them and decay starts from them."""
    mask_history: HistoryMask
    seed: int
    warmup_steps: int = 0
    decay: Decay = "none"
    accumulate_batches: int = 1
    compiles: bool = False
    encodes_catalogue: bool = False
    """Whether every step encodes all items, which is then done in parts, and again in the backward pass."""
    processes: ProcessRank = ALONE
    """This process among those that train the module together."""


class RecommenderModule(LightningModule):
    """Trains on windows, ranks the full catalogue, and keeps frozen parameters out of optimizer and checkpoint."""

    def __init__(
        self,
        recommender: Recommender,
        objective: nn.Module,
        *,
        parameter_roles: list[ParameterRole],
        content: ItemContent,
        log_popularity: Float[Tensor, " candidate"],
        loop: LoopSettings,
        towers_stay_frozen: bool,
    ) -> None:
        super().__init__()
        self.recommender = recommender
        self.objective = objective
        self.parameter_roles = parameter_roles
        self.content = content
        self.loop = loop
        self.towers_stay_frozen = towers_stay_frozen
        self.processes = loop.processes
        self.register_buffer("log_popularity", log_popularity, persistent=False)
        self.ranks = RankCollector()
        self._catalogue: Tensor | None = None
        self._losses: Tensor | None = None
        self.strict_loading = False  # load_state_dict below is stricter: it knows which keys must be missing

    @property
    def adaptation(self) -> AdaptationSchedule | None:
        """What the strategy's adaptation does besides gradient steps."""
        return self.recommender.item_encoder.schedule

    # -- training ------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        # from_pretrained returns eval mode and Lightning keeps it, which would train without dropout
        # (Lightning-AI/pytorch-lightning#18951).
        self.set_training_modes()

    def set_training_modes(self) -> None:
        """Put everything into training mode, but towers that stay frozen into eval mode: dropout in a frozen tower
        would make live and stored states differ."""
        self.recommender.train()
        if self.towers_stay_frozen:
            self.recommender.item_encoder.towers.eval()

    def on_train_start(self) -> None:
        # Here, after the meter has observed a step: what a compiler fused cannot be observed.
        if self.loop.compiles:
            if self.processes.are_several:
                # It cuts graphs at DDP's buckets, which hand-written autograd steps may not be cut at.
                torch._dynamo.config.optimize_ddp = False
            self.compile_encoders()

    def compile_encoders(self) -> None:
        """Have both encoders compiled when they next run, for any number of items."""
        self.recommender.item_encoder.compile(dynamic=True)
        self.recommender.user_encoder.compile(dynamic=True)

    def on_train_batch_start(self, batch: SequenceBatch, batch_idx: int) -> None:
        # Randomness is a function of (seed, step, process, batch of the step): a resumed run draws what the
        # uninterrupted one drew. Zeros at the end change nothing.
        place = [self.global_step, self.processes.rank, batch_idx % self.loop.accumulate_batches]
        mixed = np.random.SeedSequence([self.loop.seed, *place]).generate_state(1, dtype=np.uint64)[0]
        torch.manual_seed(int(mixed) % 2**63)

    def loss(self, batch: SequenceBatch) -> Float[Tensor, ""]:
        """Return the objective's value on a batch, and what the adaptation adds to it; on a part of one, weighted so
        that the mean over processes is the value on the whole."""
        embeddings = self._embedded(batch.items)
        pool, multiplicity, weight = batch.items.items, None, 1.0
        if (whole := batch.whole) is not None:
            pool, multiplicity, weight = whole.pool, whole.multiplicity, whole.weight
            if whole.sizes:
                own = embeddings[: whole.sizes[self.processes.rank]]
                embeddings = gather_rows(own, whole.sizes, self.processes.rank)
        inputs = ObjectiveInputs(
            states=self.recommender.user_states(embeddings, batch),
            embeddings=embeddings,
            sequences=batch.sequences,
            mask=batch.mask,
            log_popularity=cast("Tensor", self.log_popularity)[pool],
            multiplicity=multiplicity,
            drawn=batch.drawn,
            positions=batch.positions,
        )
        loss = weight * self.objective(inputs)
        # Not weighted: it is the same in all processes, and so is its mean.
        return loss if self.adaptation is None else loss + self.adaptation.penalty()

    def _embedded(self, items: ItemBatch) -> Float[Tensor, "item dim"]:
        number = len(items.items)
        if not self.loop.encodes_catalogue or number <= CATALOGUE_PART:
            return self.recommender.embed(items)
        parts = [items.part(slice(first, first + CATALOGUE_PART)) for first in range(0, number, CATALOGUE_PART)]
        return torch.cat([checkpoint(self.recommender.embed, part, use_reentrant=False) for part in parts])

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> Float[Tensor, ""]:
        loss = self.loss(batch)
        if self._losses is not None:
            self._losses[batch_idx] = loss.detach()
        self.log(
            "train/loss",
            loss,
            on_step=False,
            on_epoch=True,
            batch_size=batch.num_users,
            sync_dist=self.processes.are_several,
        )
        return loss

    def on_train_epoch_start(self) -> None:
        self._losses = torch.zeros(int(self.trainer.num_training_batches), device=self.device)

    def optimizer_step(self, *arguments: Any, **keywords: Any) -> None:
        super().optimizer_step(*arguments, **keywords)
        if self.adaptation is not None:
            self.adaptation.after_step(self.global_step + 1)  # Lightning counts a step when this has returned

    def configure_optimizers(self) -> torch.optim.Optimizer:
        groups = optimizer_groups(self.parameter_roles, self.loop.learning_rates)
        is_fused = self.device.type in ("cpu", "cuda")
        return Adam(groups, fused=is_fused)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # A function of the step alone, and not of what a scheduler has counted: a resumed run takes the same rates.
        factor = rate_factor(self.global_step, warmup_steps=self.loop.warmup_steps, decay=self.loop.decay)
        for group in optimizer.param_groups:
            group["lr"] = factor * self.loop.learning_rates[group["name"]]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch.to(device)

    # -- evaluation ----------------------------------------------------------------------------------------------

    def encode_catalogue(self) -> Float[Tensor, "candidate dim"]:
        """Embed every candidate with the current parameters; each of several processes embeds its part."""
        with self.as_for_scoring():
            return encode_items(
                self.recommender.embed,
                self.content,
                len(cast("Tensor", self.log_popularity)),
                device=self.device,
                processes=self.processes,
            )

    def rank_block(self, catalogue: Float[Tensor, "candidate dim"], batch: RankingBatch) -> None:
        """Rank a block of users and keep the outcome in `ranks`."""
        with self.as_for_scoring():
            states = self.recommender.last_states(catalogue, batch.sequences, batch.mask, batch.times)
            ranked = rank_by_embedding(states, catalogue, batch.targets, batch.seen, self.loop.mask_history)
        self.ranks.update(batch.users, ranked.ranks, ranked.is_unreachable)

    def _as_kept(self) -> AbstractContextManager[None]:
        return nullcontext() if self.adaptation is None else self.adaptation.as_kept()

    @contextmanager
    def as_for_scoring(self) -> Iterator[None]:
        """Leave the compiler out, and autocast, under which Lightning runs validation steps: scores of eight bits tie,
        and the epoch would be chosen by other ranks than the test's."""
        eager = torch.compiler.set_stance("force_eager") if self.loop.compiles else nullcontext()
        with eager, torch.autocast(self.device.type, enabled=False):
            yield

    def on_validation_epoch_start(self) -> None:
        if self._losses is not None:  # looked at once an epoch: the host would wait for the device in every step
            rates = {
                str(role.group): self.loop.learning_rates[role.group] for role in self.parameter_roles if role.group
            }
            check_losses(self._losses, epoch=self.current_epoch, rates=rates, are_several=self.processes.are_several)
        with self._as_kept():
            self._catalogue = self.encode_catalogue()

    def validation_step(self, batch: RankingBatch, batch_idx: int) -> None:
        assert self._catalogue is not None
        self.rank_block(self._catalogue, batch)

    def on_validation_epoch_end(self) -> None:
        self._catalogue = None
        for name, value in ranking_metrics(*self.ranks.take()).items():
            self.log(f"val/{name}", value)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def trainable_names(self) -> set[str]:
        """Return the state-dict keys of trainable parameters; nothing else is saved."""
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trainable, state = self.trainable_names(), checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: tensor for name, tensor in state.items() if name in trainable}
        if self.adaptation is None:
            return
        if "optimizer_states" in checkpoint:  # one to resume from
            checkpoint[_ADAPTATION] = self.adaptation.state_dict()
            return
        with self.adaptation.as_kept():  # one to score with, as validation did
            checkpoint["state_dict"] = {name: tensor.clone() for name, tensor in checkpoint["state_dict"].items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.adaptation is not None:
            self.adaptation.load_state_dict(checkpoint[_ADAPTATION])

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load trainable tensors; CheckpointError unless exactly the frozen ones are missing."""
        trainable = self.trainable_names()
        missing, unexpected = sorted(trainable - set(state_dict)), sorted(set(state_dict) - trainable)
        if missing or unexpected:
            raise CheckpointError(
                "the checkpoint belongs to another configuration: "
                f"{len(missing)} trainable tensors are missing ({', '.join(missing[:3]) or 'none'}), "
                f"{len(unexpected)} are not known ({', '.join(unexpected[:3]) or 'none'})"
            )
        try:
            return super().load_state_dict(state_dict, strict=False, assign=assign)
        except RuntimeError as error:  # torch's message lists each tensor whose shape differs
            raise CheckpointError(f"the checkpoint belongs to another configuration: {error}") from error
