"""A tower whose lower blocks are not run: stored states of all tokens stand in for what they would compute.

Every module keeps its name. In the place of the embedding layer and of each block below the lowest one that runs stands
a module that answers with a stored state; so what reads or writes on the way through a tower (`Tower.visiting`) and the
names of parameters are those of the whole tower.

A tower may also keep its blocks, for rows of another's that pass them (the prompts of VQT). Every state is then stored,
and no block runs on tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from transformers import PreTrainedModel

from peftrec.data.batches import TokenBatch
from peftrec.models.towers.family import Family
from peftrec.models.towers.stored_precision import restore


class StoredPrefix(nn.Module):
    """What a batch's stored states are while it passes: of each layer that is stored, as they are kept."""

    def __init__(self, layers: tuple[int, ...], like: Tensor, *, keeps_blocks: bool) -> None:
        super().__init__()
        self.keeps_blocks = keeps_blocks
        self.layers = layers
        """Stored states, as `Tower.states` counts them; the last is what enters the lowest block that runs."""
        # A buffer of no elements knows the device and the dtype that Lightning moves modules to.
        self.register_buffer("like", like.new_empty(0), persistent=False)
        self.like: Tensor
        self.scales: Float[Tensor, "state hidden"] | None = None
        """Of a store whose items share scales, these; no buffer, which would be rounded where the model is."""
        self._kept: Shaped[Tensor, "item token state kept"] | None = None

    @contextmanager
    def holding(self, batch: TokenBatch) -> Iterator[None]:
        """Answer with the states of a batch, inside."""
        if batch.states.shape[2] != len(self.layers):
            raise ValueError(f"{batch.states.shape[2]} stored states, and {len(self.layers)} are read")
        self._kept = batch.states
        try:
            yield
        finally:
            self._kept = None

    def state(self, layer: int) -> Tensor | None:
        """Return a state of all tokens, `[item, token, hidden]`; None where it is not stored."""
        return self.kept_state(layer) if layer in self.layers else None

    def kept_state(self, layer: int) -> Float[Tensor, "item token hidden"]:
        """Return a state that is stored."""
        assert self._kept is not None, "a tower of stored states takes batches of them"
        place = self.layers.index(layer)
        scales = None if self.scales is None else self.scales[place]
        return restore(self._kept[:, :, place], self.like.dtype, scales)


def install_prefix(
    encoder: PreTrainedModel, family: Family, layers: tuple[int, ...], *, keeps_blocks: bool = False
) -> StoredPrefix:
    """Put stored states in the place of all that lies below block `layers[-1]`, whose weights go, but for those of
    blocks that are kept.

    Raises ValueError where there is no such block, nor that many, and where blocks are kept beside some states alone.
    """
    blocks = cast("nn.ModuleList", encoder.get_submodule(family.blocks))
    first = layers[-1]
    if not 0 <= first <= len(blocks) or list(layers) != sorted(set(layers)):
        raise ValueError(f"states {layers} of an encoder of {len(blocks)} blocks")
    if keeps_blocks and len(layers) <= len(blocks):
        raise ValueError(f"states {layers} alone of an encoder of {len(blocks)} blocks that stay")
    prefix = StoredPrefix(layers, next(encoder.parameters()), keeps_blocks=keeps_blocks)
    for index in range(0 if keeps_blocks else first):
        kind = getattr(blocks[index], "attention_type", None)
        blocks[index] = _StoredBlock(prefix, index + 1, returns_pair=family.blocks_return_pairs, kind=kind)
    encoder.set_submodule(family.embeddings, _StoredEmbeddings(prefix))
    # What transformers asks for where it lets blocks keep their inputs alone, by names that the stand-in lacks.
    encoder.get_input_embeddings = partial(encoder.get_submodule, family.embeddings)  # type: ignore[method-assign]
    for path in family.before_blocks:
        encoder.set_submodule(path, nn.Identity())
    if family.after_first_block is not None and first > 0:
        parent, _, name = family.after_first_block.rpartition(".")
        setattr(encoder.get_submodule(parent), name, None)
    return prefix


class _StoredBlock(nn.Module):
    """In the place of a block: answers with the state that the block would leave, or with what it gets."""

    def __init__(self, prefix: StoredPrefix, leaves: int, *, returns_pair: bool, kind: str | None) -> None:
        super().__init__()
        self.attention_type = kind  # ModernBERT asks each block which mask it takes
        self._prefix = [prefix]  # no child: the tower has it
        self.leaves = leaves
        self.returns_pair = returns_pair

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor | tuple[Tensor, None]:
        stored = self._prefix[0].state(self.leaves)
        state = hidden_states if stored is None else stored
        return (state, None) if self.returns_pair else state


class _StoredEmbeddings(nn.Module):
    """In the place of an embedding layer: answers with the lowest state that is stored."""

    def __init__(self, prefix: StoredPrefix) -> None:
        super().__init__()
        self._prefix = [prefix]
        # ViT and DeiT ask for the dtype of their patch projection, DINOv3 for that of what is in its place.
        self.patch_embeddings = nn.Module()
        self.patch_embeddings.register_buffer("weight", prefix.like, persistent=False)
        self.patch_embeddings.projection = nn.Module()
        self.patch_embeddings.projection.register_buffer("weight", prefix.like, persistent=False)

    def forward(self, *_: Any, **__: Any) -> Tensor:
        stored = self._prefix[0].state(self._prefix[0].layers[0])
        assert stored is not None
        return stored
