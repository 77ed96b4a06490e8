"""Heater as a method: an epoch's pairs and negatives, the module that trains on them, and the scorer it gives.

The loop is its own, and not that of a run: a step reads pairs and not histories, its optimizer and its evaluation on
cold candidates are the paper's, and a job of a minute needs no checkpoint. Its result names question and code as a
run's record does.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from lightning import LightningModule, Trainer
from pydantic import Field
from pydantic.dataclasses import dataclass as part
from torch import Tensor

from peftrec.cold_start.evaluation import evaluate, selection_score
from peftrec.cold_start.heater import Heater
from peftrec.cold_start.method import Epoch, Fitted, Method, Task, Training
from peftrec.cold_start.pairs import ColdStartData, Side
from peftrec.config.strict import STRICT
from peftrec.progress.epochs import EpochBar, EpochCount
from peftrec.progress.quiet import quieten_libraries
from peftrec.progress.terminal import shows_progress
from peftrec.training.run.exit_status import interruption


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Some pairs of an epoch."""

    cold: Int[Tensor, " pair"]
    """Ids of the side with content."""
    warm: Int[Tensor, " pair"]
    target: Float[Tensor, " pair"]
    """1 for a pair of the training set, 0 for a drawn one."""
    is_replaced: Bool[Tensor, " pair"]

    def to(self, device: torch.device) -> "PairBatch":
        """Copy to a device."""
        return PairBatch(**{name: getattr(self, name).to(device) for name in vars(self)})


class PairEpochs:
    """Each time it is iterated over, an epoch: all training pairs, fresh negatives, in a new order."""

    def __init__(self, data: ColdStartData, training: Training, *, replaced: float, seed: int) -> None:
        self.data = data
        self.training = training
        self.replaced = replaced
        self.warm_items = np.unique(data.train.items)
        self._draws = np.random.default_rng(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.data.train) * (1 + self.training.negatives) / self.training.batch_size)

    def __iter__(self) -> Iterator[PairBatch]:
        train, negatives = self.data.train, self.training.negatives
        drawn = self._draws.choice(self.warm_items, size=negatives * len(train))
        sides: dict[Side, npt.NDArray[np.int64]] = {
            "users": np.tile(train.users, 1 + negatives),
            "items": np.concatenate([train.items, drawn]),
        }
        cold, warm = sides[self.data.cold_side], sides["items" if self.data.cold_side == "users" else "users"]
        order = self._draws.permutation(len(cold))
        # Parts of nearly equal size: a last batch of one pair would have no batch statistics.
        for places in np.array_split(order, len(self)):
            yield PairBatch(
                cold=torch.from_numpy(cold[places]),
                warm=torch.from_numpy(warm[places]),
                target=torch.from_numpy((places < len(train)).astype(np.float32)),
                is_replaced=torch.from_numpy(self._replaced(len(places))),
            )

    def _replaced(self, count: int) -> npt.NDArray[np.bool_]:
        chosen = np.zeros(count, dtype=np.bool_)
        chosen[self._draws.permutation(count)[: math.floor(self.replaced * count)]] = True
        return chosen


@dataclass(frozen=True, kw_only=True)
class HeaterScorer:
    """Scores of joint vectors."""

    model: Heater
    cold_side: Side

    def scores(self, users: Int[Tensor, " user"], items: Int[Tensor, " candidate"]) -> Float[Tensor, "user candidate"]:
        """Encode both sides, in evaluation mode, and multiply."""
        self.model.eval()
        device = self.model.warm_factors.device
        cold, warm = (users, items) if self.cold_side == "users" else (items, users)
        cold_vectors, warm_vectors = self.model.cold_vectors(cold.to(device)), self.model.warm_vectors(warm.to(device))
        scores = cold_vectors @ warm_vectors.T
        return (scores if self.cold_side == "users" else scores.T).cpu()


class HeaterModule(LightningModule):
    """Trains on pairs, evaluates after each epoch, and keeps the parameters of the best one."""

    def __init__(self, model: Heater, task: Task, *, similarity_weight: float) -> None:
        super().__init__()
        self.model = model
        self.data = task.data
        self.training_settings = task.training
        self.similarity_weight = similarity_weight
        self.epochs: list[Epoch] = []
        self._candidates = task.data.candidates_of(task.data.validation)
        self._best_state: dict[str, Tensor] = {}
        self._loss_sum = torch.zeros(())

    def loss(self, batch: PairBatch) -> Float[Tensor, ""]:
        """Return squared error and constraint; the penalty on weights is the optimizer's weight decay."""
        found = self.model(batch.cold, batch.warm, batch.is_replaced)
        return torch.nn.functional.mse_loss(found.scores, batch.target) + self.similarity_weight * found.distance

    def training_step(self, batch: PairBatch, batch_idx: int) -> Float[Tensor, ""]:
        loss = self.loss(batch)
        self._loss_sum = self._loss_sum + loss.detach()
        return loss

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch.to(device)

    def configure_optimizers(self) -> Any:
        training = self.training_settings
        penalised = list(self.model.penalised())
        others = [each for each in self.model.parameters() if not any(each is one for one in penalised)]
        # The gradient of lambda |w|^2 is 2 lambda w, which is what weight decay adds before momentum.
        groups: list[dict[str, Any]] = [
            {"params": penalised, "weight_decay": 2 * training.regularisation},
            {"params": others},
        ]
        optimizer = torch.optim.SGD(
            groups, lr=training.learning_rate, momentum=training.momentum, fused=self.device.type in ("cpu", "cuda")
        )
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, training.decay_epochs, gamma=training.decay)
        return [optimizer], [{"scheduler": schedule, "interval": "epoch"}]

    def on_train_epoch_start(self) -> None:
        self.model.train()
        self._loss_sum = torch.zeros((), device=self.device)

    def on_train_epoch_end(self) -> None:
        scorer = HeaterScorer(model=self.model, cold_side=self.data.cold_side)
        metrics = evaluate(scorer, self.data.validation, self._candidates)
        best = max((selection_score(epoch.validation) for epoch in self.epochs), default=-1.0)
        loss = float(self._loss_sum) / self.trainer.num_training_batches
        self.epochs.append(Epoch(loss=loss, validation=metrics))
        if selection_score(metrics) > best:
            self._best_state = copy.deepcopy(self.model.state_dict())

    def restore_best(self) -> int:
        """Go back to the parameters of the best epoch and return its number, the first being 0."""
        self.model.load_state_dict(self._best_state)
        scores = [selection_score(epoch.validation) for epoch in self.epochs]
        return scores.index(max(scores))


@part(frozen=True, kw_only=True, config=STRICT)
class HeaterMethod(Method):
    """Heater, and with one expert or without the constraint its ablations (see peftrec.cold_start.heater)."""

    num_experts: int = Field(default=5, ge=1)
    """1 is a single layer without a gate."""
    similarity_weight: float = Field(default=1e-4, ge=0)
    """alpha: weight of the summed squared distance between transformed and pretrained factors; 0 is without it."""
    replaced: float = Field(default=0.5, ge=0, le=1)
    """Share of a batch's pairs that see transformed factors in place of pretrained ones."""

    def fit(self, task: Task) -> Fitted:
        factors = task.factors()
        data = task.data
        torch.manual_seed(task.seed)
        model = Heater(
            cold_factors=factors.side(data.cold_side),
            warm_factors=factors.side("items" if data.cold_side == "users" else "users"),
            content=data.content,
            num_experts=self.num_experts,
        )
        module = HeaterModule(model, task, similarity_weight=self.similarity_weight)
        epochs = PairEpochs(data, task.training, replaced=self.replaced, seed=task.seed)
        with interruption():
            build_trainer(task.training.epochs, task.accelerator).fit(module, train_dataloaders=epochs)
        chosen = module.restore_best()
        return Fitted(
            scorer=HeaterScorer(model=model, cold_side=data.cold_side),
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
            epochs=module.epochs,
            chosen={"epoch": chosen},
        )


def build_trainer(max_epochs: int, accelerator: str) -> Trainer:
    """Return a Trainer that writes no file: a job takes minutes, and an interrupted one is run again."""
    quieten_libraries()
    has_bar = shows_progress()
    return Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=max_epochs,
        callbacks=EpochBar() if has_bar else EpochCount(),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=has_bar,
        enable_model_summary=False,
        default_root_dir=Path.cwd(),
    )
