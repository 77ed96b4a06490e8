"""One classifier in training, tested after every epoch so that each rule of choosing an epoch can be read off."""

import math
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn

from peftrec.errors import SettingsError
from peftrec.series.classifier import GTNClassifier
from peftrec.series.data import LabelledSeries
from peftrec.series.results import EpochOutcome
from peftrec.series.settings import Recipe


class ClassifierModule(LightningModule):
    """Minimises cross-entropy; `epochs` fills with what each one ended with. The test set decides nothing here."""

    def __init__(self, classifier: GTNClassifier, recipe: Recipe) -> None:
        super().__init__()
        self.classifier = classifier
        self.recipe = recipe
        self.epochs: list[EpochOutcome] = []
        self._forget()

    def _forget(self) -> None:
        self._loss, self._num_trained = 0.0, 0
        self._num_correct, self._num_tested, self._step_gate = 0, 0, 0.0

    def on_train_epoch_start(self) -> None:
        self._forget()

    def transfer_batch_to_device(self, batch: LabelledSeries, device: torch.device, dataloader_idx: int) -> Any:
        return batch.to(device)

    def training_step(self, batch: LabelledSeries, batch_idx: int) -> Float[Tensor, ""]:
        loss = nn.functional.cross_entropy(self.classifier(batch.values).logits, batch.labels)
        self._loss += loss.item() * len(batch)
        self._num_trained += len(batch)
        return loss

    def validation_step(self, batch: LabelledSeries, batch_idx: int) -> None:
        classified = self.classifier(batch.values)
        self._num_correct += int((classified.logits.argmax(dim=1) == batch.labels).sum())
        self._num_tested += len(batch)
        self._step_gate += float(classified.gate[:, 0].sum())

    def on_train_epoch_end(self) -> None:
        loss = self._loss / self._num_trained
        if not math.isfinite(loss):
            raise SettingsError(f"the training loss is {loss}; lower recipe.learning_rate")
        self.epochs.append(
            EpochOutcome(
                training_loss=loss,
                test_accuracy=self._num_correct / self._num_tested,
                step_gate=self._step_gate / self._num_tested,
            )
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        kind = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}[self.recipe.optimizer]
        return kind(self.parameters(), lr=self.recipe.learning_rate)
