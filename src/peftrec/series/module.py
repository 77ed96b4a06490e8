"""One classifier in training, tested after every epoch so that each rule of choosing an epoch can be read off."""

import torch
from jaxtyping import Float, Int
from lightning import LightningModule
from torch import Tensor, nn

from peftrec.series.classifier import GTNClassifier
from peftrec.series.results import EpochOutcome
from peftrec.series.settings import Recipe

Batch = tuple[Float[Tensor, "series step channel"], Int[Tensor, " series"]]


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

    def training_step(self, batch: Batch, batch_idx: int) -> Float[Tensor, ""]:
        series, labels = batch
        loss = nn.functional.cross_entropy(self.classifier(series).logits, labels)
        self._loss += loss.item() * len(labels)
        self._num_trained += len(labels)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        series, labels = batch
        classified = self.classifier(series)
        self._num_correct += int((classified.logits.argmax(dim=1) == labels).sum())
        self._num_tested += len(labels)
        self._step_gate += float(classified.gate[:, 0].sum())

    def on_train_epoch_end(self) -> None:
        self.epochs.append(
            EpochOutcome(
                training_loss=self._loss / self._num_trained,
                test_accuracy=self._num_correct / self._num_tested,
                step_gate=self._step_gate / self._num_tested,
            )
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        kind = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}[self.recipe.optimizer]
        return kind(self.parameters(), lr=self.recipe.learning_rate)
