"""What becomes of a trained tower outside of this package, told from what is in it and not from who put it there.

peft_folder layers of peft around frozen ones: an adapter folder, or, merged, a checkpoint
checkpoint  the family's own modules with weights that moved: a Hugging Face checkpoint
introduced  modules that neither can express: their weights alone
untouched   nothing in it trained: the checkpoint that it came from says all
"""

import copy
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from peftrec.data.batches import ImageBatch, PatchBatch, TextBatch
from peftrec.errors import CheckpointError, shortlist
from peftrec.models.peft.merging import MergeError, merge, tuner_layers
from peftrec.models.towers.checkpoint_files import TOKENIZER, WEIGHTS
from peftrec.models.towers.encoders import save_encoder
from peftrec.models.towers.families import family_of
from peftrec.models.towers.image_processing import write_processor
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.quantised_weights import QuantisedLinear, restore_weights
from peftrec.models.towers.sentence_modules import save_sentence_modules
from peftrec.models.towers.tower import Tower
from peftrec.serving.peft_folders import ADAPTER, as_peft_model, fingerprint, read_adapter, write_adapter
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from peftrec.towers.ready_features import DESCRIPTION, ReadyFeatures

Form = Literal["peft_folder", "checkpoint", "introduced", "untouched"]
Source = PretrainedText | PretrainedImage
"""What a tower was built from."""

TOLERANCE = 1e-5
"""Largest difference that a written tower may make to a vector, in parts of the largest number in the vectors."""


@dataclass(frozen=True, kw_only=True)
class ExportedTower:
    """One tower, as it was written."""

    name: TowerName
    form: Form
    model_class: str | None
    """In transformers; null for ready features."""
    base_name: str
    """As other machines know it: a name of the hub, or of a local checkpoint with the digest of its weights."""
    base_revision: str | None
    is_local: bool
    """Whether the base lay in a folder of the machine that exported, so that a reader must say where it is."""
    is_random: bool
    """Whether the base has random weights, which nobody else can load."""
    is_rounded: bool
    """Whether the base's weights were rounded to int8 (`towers.text.weights`): the run's vectors are those of rounded
    weights, in an adapter folder's base too."""
    content: str
    """Titles, images, or ready features."""
    reads: str
    """What is made of a title or an image before the tower reads it, and of its states after."""
    num_parameters: int = 0
    """In the folder's weights."""
    difference: float | None = None
    """Of the vectors that the folder gives when it is read again, as TOLERANCE counts; null where there is none."""


@dataclass(frozen=True, kw_only=True)
class TrainedTower:
    """One tower of a run, and what it was built from."""

    name: TowerName
    tower: Tower
    source: Source
    seed: int
    """Decides the weights where they are random."""

    def form(self) -> Form:
        """Say what can be written of it."""
        if not any(parameter.requires_grad for parameter in self.tower.parameters()):
            return "untouched"
        if tuner_layers(self.tower.encoder):
            return "peft_folder"
        return "introduced" if self.own_modules(self.tower.encoder) else "checkpoint"

    def own_modules(self, encoder: nn.Module) -> list[str]:
        """Return the classes of the outermost modules that the tower's config does not build."""
        plain = self.source.load(self.name, seed=self.seed, with_weights=False).encoder
        if not any(isinstance(module, QuantisedLinear) for module in encoder.modules()):
            restore_weights(plain)
        known = {name: type(module) for name, module in plain.named_modules()}
        own = {name: module for name, module in encoder.named_modules() if known.get(name) is not type(module)}
        return sorted({type(module).__name__ for name, module in own.items() if name.rpartition(".")[0] not in own})

    def write(self, folder: Path, inputs: TextBatch | ImageBatch | PatchBatch, *, merges: bool) -> ExportedTower:
        """Write the tower, read it again, and compare what both say of `inputs`.

        Raises CheckpointError where it cannot be written so, or would not give the same vectors.
        """
        form = self.form()
        exact = copy.deepcopy(self.tower).to("cpu", torch.float32)
        if form == "peft_folder" and not merges:
            num_parameters, reread = self._write_adapter(exact, folder)
        else:
            encoder = self._merged(exact) if form == "peft_folder" else self._restored(exact)
            num_parameters, reread = self._write_checkpoint(encoder, exact, folder)
            form = "checkpoint"
        difference = _difference(exact, reread, inputs)
        if not difference <= TOLERANCE:
            remedy = "try merge=true" if form == "peft_folder" else "leave out merge=true"
            raise CheckpointError(
                f"the {self.name} tower that was written gives other vectors than the run's (by {difference:.1e} "
                f"of the largest number; {TOLERANCE:.0e} is allowed), so nothing is exported; {remedy}"
            )
        described_tower = described(self.name, self.source, form)
        return replace(described_tower, num_parameters=num_parameters, difference=difference)

    def _write_adapter(self, exact: Tower, folder: Path) -> tuple[int, Tower]:
        base = self._base()
        identity = fingerprint(base.encoder)
        base = base.to(next(self.tower.parameters()).dtype).float()  # a run in bfloat16 has rounded it
        try:
            num_parameters = write_adapter(
                as_peft_model(exact.encoder, copy.deepcopy(base.encoder)),
                folder,
                base_fingerprint=identity,
                base_name=_portable_name(self.name, self.source),
                revision=self.source.revision,
            )
            return num_parameters, read_adapter(base, folder)
        except CheckpointError as error:
            raise CheckpointError(f"the {self.name} tower has no adapter folder: {error}") from error

    def _restored(self, exact: Tower) -> PreTrainedModel:
        encoder = copy.deepcopy(exact.encoder)
        restore_weights(encoder)  # no checkpoint expresses a quantised layer
        return encoder

    def _merged(self, exact: Tower) -> PreTrainedModel:
        config = exact.encoder.peft_config[ADAPTER]
        encoder = copy.deepcopy(exact.encoder)
        try:
            merge(encoder)
        except MergeError as error:
            raise CheckpointError(
                f"merge=true: peft cannot merge {config.peft_type.value} into the {self.name} tower ({error}); "
                "leave it out to write an adapter folder"
            ) from error
        if strange := self.own_modules(encoder):
            raise CheckpointError(
                f"merge=true: after merging the {self.name} tower still holds {shortlist(strange)}, which no "
                "checkpoint can express; leave it out"
            )
        return encoder

    def _base(self) -> Tower:
        return self.source.load(self.name, seed=self.seed)

    def _write_checkpoint(self, encoder: PreTrainedModel, exact: Tower, folder: Path) -> tuple[int, Tower]:
        source = self.source
        base = None if source.random_init else source.files(self.name).folder(WEIGHTS)
        transform = source.transform(self.name) if isinstance(source, PretrainedImage) else None
        family = self.tower.family
        is_fitted = family.fits_any_size and family.has_position_table and len(set(self.tower.image_size)) == 1
        save_encoder(
            encoder,
            self.tower.family,
            folder,
            base=base,
            image_size=self.tower.image_size[0] if is_fitted else None,
        )
        if source.said(self.name).words():  # then the folder that is written has to say it too
            save_sentence_modules(folder, pooling=exact.pooling, width=exact.width, dense=exact.dense)
        changes: dict[str, Any] = {}
        if transform is not None:
            write_processor(transform, folder)
        elif isinstance(source, PretrainedText) and (files := source.tokenizer_files(self.name)) is not None:
            tokenizer = files.folder(TOKENIZER)
            for name in TOKENIZER.files[1:]:  # all but the config
                if (tokenizer / name).exists():
                    shutil.copyfile(tokenizer / name, folder / name)
            changes = {"tokenizer": None, "tokenizer_revision": None}
        written = replace(
            source,
            checkpoint=str(folder),
            revision=None,
            architecture=None,
            random_init=False,
            weights="float32",
            **changes,
        )
        tower = written.load(self.name, seed=self.seed)
        return sum(parameter.numel() for parameter in tower.parameters()), tower


def described(name: TowerName, source: Source | ReadyFeatures, form: Form) -> ExportedTower:
    """Describe a tower by what it was built from; it need not be loaded."""
    if isinstance(source, ReadyFeatures):
        return ExportedTower(
            name=name,
            form=form,
            model_class=None,
            base_name=Path(source.file).name,
            base_revision=None,
            is_local=True,
            is_random=False,
            is_rounded=False,
            content=DESCRIPTION,
            reads=DESCRIPTION,
        )
    config = source.config(name)
    family = family_of(config)
    return ExportedTower(
        name=name,
        form=form,
        model_class=family.model,
        base_name=_portable_name(name, source) or f"random {config.model_type}",
        base_revision=source.revision,
        is_local=not source.random_init and source.files(name).is_local,
        is_random=source.random_init,
        is_rounded=source.weights == "int8",
        content=source.content,
        reads=f"{_preparation(name, source)}, pooled by {source.said(name).words() or source.pooling_of(name)}",
    )


def _preparation(name: TowerName, source: Source) -> str:
    if isinstance(source, PretrainedText):
        prompt = f" behind {source.prompt!r}" if source.prompt else ""
        case = " in lower case" if source.lower_case else ""
        return f"{source.content}{case}{prompt} of at most {source.max_tokens} tokens"
    return source.transform(name).describe()


def _portable_name(name: TowerName, source: Source) -> str | None:
    """Return what the base is called on other machines; null where its weights are random."""
    return None if source.random_init else source.files(name).portable_name()


@torch.no_grad()
def _difference(exact: Tower, reread: Tower, inputs: TextBatch | ImageBatch | PatchBatch) -> float:
    expected, found = exact.eval()(inputs), reread.eval()(inputs)
    return float((expected - found).abs().max() / expected.abs().max())
