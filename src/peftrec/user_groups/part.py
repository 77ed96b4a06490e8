"""The part of the model that each group has for itself: the run's item encoder, as far as its strategy trains it.

User encoder, norm of item embeddings and objective are shared: they stay as the run left them (their dropout is on, as
it was when the run trained). Every group starts from the run's own weights, and is trained by the loop of every run.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from peftrec.data.loading import TrainingBatches
from peftrec.data.split import Split
from peftrec.errors import RecordError, SettingsError
from peftrec.files import remove_abandoned, write_atomically
from peftrec.results.bounds import Bytes, Count
from peftrec.results.costs import Epoch
from peftrec.results.record_part import RecordPart
from peftrec.settings.run import Settings
from peftrec.training.building.assembly import Assembled
from peftrec.training.building.loaders import Loaders, build_loaders
from peftrec.training.checkpoint import BEST, LAST, checkpoint_path, load_best
from peftrec.training.module import RecommenderModule
from peftrec.training.parameter_groups import tensor_bytes
from peftrec.training.run.fitting import Watcher, fit
from peftrec.training.run.restored_run import RestoredRun
from peftrec.user_groups.competing import WithinGroup
from peftrec.user_groups.settings import Negatives

GROUP_FILE = "group.json"


class TrainedGroup(RecordPart):
    """How a group's training went; stands beside its checkpoint once it is over."""

    epochs: list[Epoch]
    chosen_epoch: Count
    """The first is 0."""
    peak_memory_bytes: Bytes | None = None
    """In training; null where no allocator's log said it."""

    @property
    def training_seconds(self) -> float:
        """Of all epochs, without validation."""
        return sum(epoch.training_seconds for epoch in self.epochs)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A run's module of which the item encoder alone trains, and what every group starts from."""

    run: RestoredRun
    settings: Settings
    """The run's, with the epochs of a group."""
    start: Mapping[str, Tensor]
    """The run's own values of what trains."""
    adaptation: Mapping[str, Tensor] | None
    """What the strategy's adaptation remembers at the start, where it remembers anything."""
    negatives: Negatives
    shared_bytes: int
    """Of what the run trained and all groups share."""
    shared_parameters: int

    @classmethod
    def of(cls, run: RestoredRun, *, epochs: int, negatives: Negatives = "objective") -> "Part":
        """Leave the item encoder of the run's module alone to train; the module is the groups' from then on."""
        module = run.module
        own = {id(parameter) for parameter in module.recommender.item_encoder.parameters()}
        shared = [p for p in module.parameters() if p.requires_grad and id(p) not in own]
        for parameter in shared:
            parameter.requires_grad_(False)
        module.parameter_roles = [
            role if id(role.parameter) in own else replace(role, group=None) for role in module.parameter_roles
        ]
        return cls(
            run=run,
            settings=replace(run.settings, trainer=replace(run.settings.trainer, max_epochs=epochs)),
            start={name: tensor.detach().clone() for name, tensor in trained_tensors(module).items()},
            adaptation=None if module.adaptation is None else module.adaptation.state_dict(),
            negatives=negatives,
            shared_bytes=tensor_bytes(shared),
            shared_parameters=sum(parameter.numel() for parameter in shared),
        )

    @property
    def num_bytes(self) -> int:
        """Of one group's tensors."""
        return tensor_bytes(trained_tensors(self.run.module).values())

    @property
    def num_parameters(self) -> int:
        """Of one group."""
        return sum(tensor.numel() for tensor in self.start.values())

    @property
    def names(self) -> list[str]:
        """What each group has for itself."""
        return sorted(self.start)

    def reset(self) -> RecommenderModule:
        """Return the module with the run's own weights, and with nothing remembered of another group."""
        module = self.run.module
        module.load_state_dict(self.start)
        if module.adaptation is not None:
            module.adaptation.load_state_dict(self.adaptation or {})
        return module

    def check(self, splits: list[Split]) -> None:
        """Raise SettingsError where the strategy's adaptation needs more steps than a group has."""
        adaptation = self.run.module.adaptation
        if adaptation is None:
            return
        for group, split in enumerate(splits):
            loader = self.loaders(split).training
            try:
                adaptation.begin(num_steps=self.settings.trainer.max_epochs * -(-len(loader) // self._batches))
            except SettingsError as error:
                raise SettingsError(
                    f"group {group + 1} of {len(splits)}: {error} (of groups epochs=N in place of trainer.max_epochs), "
                    "or take fewer groups, which have more steps each"
                ) from error

    @property
    def _batches(self) -> int:
        return self.settings.trainer.accumulate_batches

    def loaders(self, split: Split) -> Loaders:
        """Return what a group iterates over."""
        loaders = build_loaders(self.settings, split, self.run.module, self.run.device)
        if self.negatives == "group":
            batches = cast("TrainingBatches", loaders.training.dataset)
            batches.competition = WithinGroup(**vars(batches.competition))
        return loaders

    def train(self, split: Split, folder: Path) -> TrainedGroup:
        """Train a group on its part of the data, or read how that went; its weights are in the folder's checkpoint."""
        if (trained := read_trained(folder)) is not None:
            return trained
        for place in (folder, checkpoint_path(folder, BEST).parent):
            remove_abandoned(place)
        module = self.reset()
        cast("Tensor", module.log_popularity).copy_(torch.from_numpy(split.log_popularity()))
        fitted = fit(
            self.settings,
            Assembled(module=module, device=self.run.device, store=None, resident_before_model=None),
            self.loaders(split),
            folder,
            conditions={},
            watcher=Watcher(
                on_start=lambda first: _say_resumed(folder, first),
                on_epoch=lambda _: None,
                goes_on=lambda _: True,
            ),
            is_isolated=False,
        )
        trained = TrainedGroup(
            epochs=fitted.epochs,
            chosen_epoch=fitted.chosen_epoch,
            peak_memory_bytes=fitted.efficiency.peak_memory_bytes,
        )
        write_atomically(folder / GROUP_FILE, trained.model_dump_json(indent=2).encode())
        checkpoint_path(folder, LAST).unlink()  # with the optimizer's state, which nobody goes on from any more
        return trained

    def load(self, folder: Path) -> RecommenderModule:
        """Return the module with a trained group's weights, in evaluation mode."""
        module = self.reset()
        load_best(module, folder)
        return module.eval()


def trained_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return what trains, by the names of the state dict."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def read_trained(folder: Path) -> TrainedGroup | None:
    """Read how a group's training went; None where it is not over, or its weights are gone. Raises RecordError."""
    file = folder / GROUP_FILE
    if not file.exists() or not checkpoint_path(folder, BEST).exists():
        return None
    try:
        return TrainedGroup.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise RecordError(
            f"{file}: malformed; remove {folder}, and the command of the groups trains this one anew"
        ) from error


def _say_resumed(folder: Path, first: int) -> None:
    if first:
        print(f"{folder}: resumes where it was: {first} epochs are done", file=sys.stderr)
