"""Pretrained encoders as towers: pooled vectors, hidden states, and the sites a strategy may adapt."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from peftrec.data.batches import ImageBatch, PatchBatch, TextBatch, TokenBatch
from peftrec.errors import SettingsError
from peftrec.models.towers.block_visits import BlockVisit, HighestRead, visit_input, visit_output
from peftrec.models.towers.encoder_calls import last_state, last_state_above
from peftrec.models.towers.family import Family
from peftrec.models.towers.names import OUTPUT, Modality, Pooling, TowerName
from peftrec.models.towers.pooling import last_of, mean_of
from peftrec.models.towers.stored_precision import restore
from peftrec.models.towers.stored_prefix import StoredPrefix, install_prefix

TowerInputs = TextBatch | ImageBatch | PatchBatch | TokenBatch
"""What a tower encodes; stored states of tokens where its lower blocks are not there to run."""


class Tower(nn.Module):
    """A Hugging Face encoder that answers in vectors, one an item."""

    image_size: tuple[int, int] = (0, 0)
    """Height and width that images come in; not looked at where nothing is computed from them after the patches."""
    first_open: int | None = None
    """Lowest block that may change, where what lies below it is in evaluation mode; null where all is as it comes."""

    def __init__(
        self,
        encoder: PreTrainedModel,
        *,
        family: Family,
        pooling: Pooling,
        dense: nn.Sequential | None = None,
        name: TowerName = "",
    ) -> None:
        """`dense` are layers from the pooled last state to the tower's vector, which few checkpoints have; messages
        call the tower by its name, or by what it reads."""
        super().__init__()
        self.encoder = encoder
        self.dense = nn.Sequential() if dense is None else dense
        self.family = family
        self.modality: Modality = family.modality
        self.name = name or family.modality
        self.pooling = pooling
        self.width = int(encoder.config.hidden_size)
        self.num_blocks = len(self.blocks())
        self.sites = family.sites_of(encoder.config)
        """Generic site names to module paths below a block."""
        self.num_prefix_tokens = family.prefix_tokens_of(encoder.config)
        """Tokens of an image that stand before its patches."""
        self.prefix: StoredPrefix | None = None
        """What stands in for the lower blocks where they are not run."""
        self._is_normed_inside = family.norm is not None and family.norms_every_token

    def blocks(self) -> nn.ModuleList:
        """Return the encoder's blocks, lowest first."""
        return cast("nn.ModuleList", self.encoder.get_submodule(self.family.blocks))

    def require_blocks(self) -> None:
        """Raise SettingsError where there are no blocks and no tokens to read."""

    def freeze_below(self, block: int) -> None:
        """Freeze what lies below a block, from 0, the embedding layer included, and keep it in evaluation mode: nothing
        there draws random numbers, and what enters the block is a function of the item alone."""
        self.first_open = block
        for part in self.parts_below():
            part.requires_grad_(False)
        self.train(self.training)

    def start_from_stored(self, layers: tuple[int, ...], *, keeps_blocks: bool = False) -> None:
        """Let go of all below block `layers[-1]`: from now on batches bring those states of all tokens. With
        `keeps_blocks` every state is among them, no block runs on tokens, and all stay for other rows."""
        self.prefix = install_prefix(self.encoder, self.family, layers, keeps_blocks=keeps_blocks)

    def restored(self, inputs: TokenBatch) -> TokenBatch:
        """Return stored states as numbers."""
        assert self.prefix is not None, "stored states are for a tower that starts from them"
        return replace(inputs, states=restore(inputs.states, self.prefix.like.dtype, self.prefix.scales))

    def parts_below(self) -> list[nn.Module]:
        """Return the parts that lie below the lowest open block, the embedding layer included."""
        if self.first_open is None:
            return []
        above: list[nn.Module] = [*self.blocks()[self.first_open :]]
        if self.family.norm is not None:
            above.append(self.encoder.get_submodule(self.family.norm))
        open_parts = {part for each in above for part in each.modules()}
        return [part for part in self.encoder.modules() if open_parts.isdisjoint(part.modules())]

    def train(self, mode: bool = True) -> "Tower":
        """Set the mode of what may change."""
        super().train(mode)
        for part in self.parts_below():
            part.training = False
        return self

    def site_paths(self, site: str, blocks: Iterable[int] | None = None) -> list[str]:
        """Return the module path of `site` in the blocks, by default in all.

        A norm that the first block does without (ModernBERT's) is left out of all. Raises SettingsError for a site that
        the family does not have, or a block that lacks it.
        """
        if site not in self.sites:
            raise SettingsError(
                f"strategy.sites: {site!r} matches nothing in the {self.name} tower "
                f"({self.encoder.config.model_type}); its sites are {', '.join(self.sites)}"
            )
        chosen = range(self.num_blocks) if blocks is None else blocks
        paths = [f"{self.family.blocks}.{block}.{self.sites[site]}" for block in chosen]
        modules = dict(self.encoder.named_modules())
        without = [path for path in paths if isinstance(modules.get(path), nn.Identity)]
        missing = [path for path in paths if path not in modules] or (without if without == paths else [])
        if missing:
            raise SettingsError(f"strategy.sites: {site!r} is missing in {', '.join(missing)}; not every block has it")
        return [path for path in paths if path not in without]

    def site_that_holds(self, site: str) -> str:
        """Return the site of the layer that computes what is called `site`: its own, or of one that computes more."""
        return self.family.fused.get(site, site)

    def paths_of(self, sites: Iterable[str], blocks: tuple[int, ...] | None = None) -> list[str]:
        """Return the module paths of several sites, all blocks of one after all of another; errors as `site_paths`."""
        return [path for site in sites for path in self.site_paths(site, blocks)]

    def open_parameters(self, blocks: Iterable[int]) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters of blocks, and of the norm and the dense layers after the last one, with their names."""
        places = ["dense.", *(f"encoder.{self.family.blocks}.{block}." for block in blocks)]
        if self.family.norm is not None:
            places.append(f"encoder.{self.family.norm}.")
        yield from ((name, part) for name, part in self.named_parameters() if name.startswith(tuple(places)))

    def forward(self, inputs: TowerInputs) -> Float[Tensor, "item hidden"]:
        """Encode items to the tower's output vector."""
        return self.vector(self._normed(self._encode(inputs)), inputs)

    def states(self, inputs: TowerInputs, indices: tuple[int, ...]) -> Float[Tensor, "item state hidden"]:
        """Encode items to pooled hidden states: 0 is the embedding layer's, k the k-th block's, OUTPUT the output.

        Each state is pooled as soon as its block has run, so that memory does not grow with depth.
        """
        pooled: dict[int, Tensor] = {}

        def keep(index: int, tokens: Tensor) -> None:
            pooled[index] = self.vector(tokens, inputs) if index == OUTPUT else self.pool(tokens, inputs)

        self._read(inputs, set(indices), keep)
        return torch.stack([pooled[index] for index in indices], dim=1)

    def token_states(
        self, inputs: TowerInputs, indices: tuple[int, ...]
    ) -> dict[int, Float[Tensor, "item token hidden"]]:
        """Encode items to the hidden states of all their tokens, by index as in `states`; OUTPUT is the last state
        after the encoder's last norm. Which of them are padding says `token_mask`. Blocks above them are not run."""
        kept: dict[int, Tensor] = {}
        self._read(inputs, set(indices), kept.__setitem__)
        return {index: kept[index] for index in indices}

    def token_mask(self, inputs: TowerInputs, num_tokens: int) -> Bool[Tensor, "item token"]:
        """Return which tokens stand for something: of an image all but padded patches."""
        if isinstance(inputs, ImageBatch):
            return torch.ones(len(inputs.pixels), num_tokens, dtype=torch.bool, device=inputs.pixels.device)
        return inputs.mask

    @contextmanager
    def visiting(self, *, on_input: BlockVisit | None = None, on_output: BlockVisit | None = None) -> Iterator[None]:
        """Show what enters and what leaves each block while the block is open, and let it be replaced.

        `on_input(k, tokens)` gets what enters the k-th block (from 0, as `Float[item token hidden]`) and `on_output`
        what leaves it, whatever else a family's blocks take and return. What they return takes the place of what they
        got; None leaves it. A network beside the towers that also writes back to them (DTL, UniPT) works by this.
        """
        handles: list[RemovableHandle] = []
        try:
            for index, block in enumerate(self.blocks()):
                if on_input is not None:
                    handles.append(visit_input(block, partial(on_input, index)))
                if on_output is not None:
                    handles.append(visit_output(block, partial(on_output, index)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _read(self, inputs: TowerInputs, indices: set[int], keep: Callable[[int, Tensor], None]) -> None:
        """Encode, and give the chosen states of all tokens to `keep`, each as soon as it is there; no further."""
        if self.prefix is not None and self.prefix.keeps_blocks:
            self._read_stored(inputs, indices, keep)
            return
        highest = max(self.num_blocks if index == OUTPUT else index for index in indices)

        def keep_or_end(index: int, tokens: Tensor) -> None:
            keep(index, tokens)
            if index == highest < self.num_blocks:
                raise HighestRead

        with self._watching(indices, keep_or_end):
            try:
                last = self._encode(inputs)
            except HighestRead:
                return
        if not self._is_normed_inside and self.num_blocks in indices:
            keep(self.num_blocks, last)
        if OUTPUT in indices:
            keep(OUTPUT, self._normed(last))

    def _read_stored(self, inputs: TowerInputs, indices: set[int], keep: Callable[[int, Tensor], None]) -> None:
        """Do the same for a tower that keeps its blocks and runs none."""
        assert self.prefix is not None
        assert isinstance(inputs, TokenBatch), "a tower of stored states takes batches of them"
        with self.prefix.holding(inputs):
            for index in indices - {OUTPUT}:
                keep(index, self.prefix.kept_state(index))
        if OUTPUT in indices:
            keep(OUTPUT, self._normed(self._encode(inputs)))

    @contextmanager
    def _watching(self, indices: set[int], keep: Callable[[int, Tensor], None]) -> Iterator[None]:
        """Keep what enters each block, and the norm after the last where the encoder applies it to its last state.

        A hidden state is taken where it is consumed: what leaves a block is not always its state. A DeBERTa may put a
        convolution between the first two.
        """
        readers = list(self.blocks())
        if self._is_normed_inside:
            readers.append(self.encoder.get_submodule(str(self.family.norm)))
        handles = [
            visit_input(reader, partial(keep, index)) for index, reader in enumerate(readers) if index in indices
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _encode(self, inputs: TowerInputs) -> Float[Tensor, "item token hidden"]:
        """Return the last state of every token, as the encoder gives it."""
        if isinstance(inputs, TokenBatch):
            return self._encode_stored(inputs)
        return last_state(self.encoder, self.family, inputs)

    def _encode_stored(self, inputs: TokenBatch) -> Float[Tensor, "item token hidden"]:
        """Run the blocks that there are."""
        assert self.prefix is not None, "stored states are for a tower that starts from them"
        with self.prefix.holding(inputs):
            if self.prefix.keeps_blocks:
                last = self.prefix.kept_state(self.num_blocks)
                return self.encoder.get_submodule(str(self.family.norm))(last) if self._is_normed_inside else last
            size, like = self.image_size, self.prefix.like
            return last_state_above(self.encoder, self.family, inputs.mask, like=like, image_size=size)

    def _normed(self, last: Float[Tensor, "item token hidden"]) -> Float[Tensor, "item token hidden"]:
        if self.family.norm is None or self._is_normed_inside:
            return last
        return self.encoder.get_submodule(self.family.norm)(last)

    def vector(self, last: Float[Tensor, "item token hidden"], inputs: TowerInputs) -> Float[Tensor, "item hidden"]:
        """Make the tower's vector of the last state of all tokens."""
        vector: Tensor = self.dense(self.pool(last, inputs))
        return vector

    def pool(self, states: Float[Tensor, "item token side"], inputs: TowerInputs) -> Float[Tensor, "item side"]:
        """Make one vector an item of what stands for its tokens, as the tower's output is made."""
        if self.pooling == "cls":
            return states[:, 0]
        if self.modality == "image" and not self.family.pads_patches:
            return states[:, self.num_prefix_tokens :].mean(dim=1)
        assert not isinstance(inputs, ImageBatch)
        return mean_of(states, inputs.mask if self.pooling == "mean" else last_of(inputs.mask))
