"""Pretrained encoders as towers: pooled vectors, hidden states, and the sites a strategy may adapt."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from peftrec.data.batches import ImageBatch, ItemBatch, TextBatch
from peftrec.errors import SettingsError
from peftrec.models.families import Family

OUTPUT = -1
"""Index of a tower's output vector: the last state after the tower's final norm, where it has one (a ViT's last
hidden state is taken before it, a BERT's after)."""

Modality = Literal["text", "image"]
MODALITIES: tuple[Modality, ...] = ("image", "text")
"""In the order of the published fusion layer: image first."""


class Tower(nn.Module):
    """A Hugging Face encoder that answers in vectors, one an item."""

    def __init__(self, encoder: PreTrainedModel, *, family: Family, pooling: Literal["cls", "mean"]) -> None:
        super().__init__()
        self.encoder = encoder
        self.family = family
        self.pooling = pooling
        self.width = int(encoder.config.hidden_size)
        self.num_blocks = len(self.blocks())

    def blocks(self) -> nn.ModuleList:
        """Return the encoder's blocks, lowest first."""
        return cast("nn.ModuleList", self.encoder.get_submodule(self.family.blocks))

    def site_paths(self, site: str) -> list[str]:
        """Return the module path of `site` in every block.

        Raises SettingsError for a site that the family does not have, or a block that lacks it.
        """
        if site not in self.family.sites:
            raise SettingsError(
                f"strategy.sites: {site!r} matches nothing in the {self.family.modality} tower "
                f"({self.encoder.config.model_type}); its sites are {', '.join(self.family.sites)}"
            )
        paths = [f"{self.family.blocks}.{block}.{self.family.sites[site]}" for block in range(self.num_blocks)]
        present = {name for name, _ in self.encoder.named_modules()}
        missing = [path for path in paths if path not in present]
        if missing:
            raise SettingsError(f"strategy.sites: {site!r} is missing in {', '.join(missing)}; not every block has it")
        return paths

    def forward(self, inputs: TextBatch | ImageBatch) -> Float[Tensor, "item hidden"]:
        """Encode items to the tower's output vector."""
        output = self._encode(inputs).last_hidden_state
        return self._pool(output, inputs)

    def states(self, inputs: TextBatch | ImageBatch, indices: tuple[int, ...]) -> Float[Tensor, "item state hidden"]:
        """Encode items to pooled hidden states: 0 is the embedding layer's, k the k-th block's, OUTPUT the output.

        Each state is pooled as soon as its block has run, so that memory does not grow with depth.
        """
        pooled: dict[int, Tensor] = {}
        with self._watching(inputs, set(indices), pooled):
            output = self._encode(inputs).last_hidden_state
        pooled[OUTPUT] = self._pool(output, inputs)
        return torch.stack([pooled[index] for index in indices], dim=1)

    @contextmanager
    def _watching(self, inputs: TextBatch | ImageBatch, indices: set[int], pooled: dict[int, Tensor]) -> Iterator[None]:
        def keep(index: int, state: Any) -> None:
            pooled[index] = self._pool(state[0] if isinstance(state, tuple) else state, inputs)

        def before(_: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            keep(0, arguments[0] if arguments else keywords["hidden_states"])

        handles = []
        if 0 in indices:
            handles.append(self.blocks()[0].register_forward_pre_hook(before, with_kwargs=True))
        for index, block in enumerate(self.blocks(), start=1):
            if index in indices:
                handles.append(block.register_forward_hook(lambda _m, _i, output, index=index: keep(index, output)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _encode(self, inputs: TextBatch | ImageBatch) -> Any:
        if isinstance(inputs, TextBatch):
            return self.encoder(input_ids=inputs.token_ids, attention_mask=inputs.mask)
        return self.encoder(pixel_values=inputs.normalised(next(self.encoder.parameters()).dtype))

    def _pool(self, states: Float[Tensor, "item word hidden"], inputs: TextBatch | ImageBatch) -> Tensor:
        if self.pooling == "cls":
            return states[:, 0]
        if isinstance(inputs, ImageBatch):
            return states[:, self.family.num_prefix_tokens :].mean(dim=1)
        mask = inputs.mask.unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(dim=1) / mask.sum(dim=1)


class Towers(nn.Module):
    """A text tower, an image tower, or both."""

    def __init__(self, *, text: Tower | None = None, image: Tower | None = None) -> None:
        super().__init__()
        self.text = text
        self.image = image

    def present(self) -> dict[Modality, Tower]:
        """Return the towers there are, image first."""
        towers = {name: getattr(self, name) for name in MODALITIES}
        return {name: tower for name, tower in towers.items() if tower is not None}

    def widths(self) -> dict[Modality, int]:
        """Return each tower's width."""
        return {name: tower.width for name, tower in self.present().items()}

    def forward(self, batch: ItemBatch) -> dict[Modality, Tensor]:
        """Encode a batch of items to one output vector per tower."""
        return {name: tower(batch.content(name)) for name, tower in self.present().items()}

    def states(self, batch: ItemBatch, indices: dict[Modality, tuple[int, ...]]) -> dict[Modality, Tensor]:
        """Encode a batch of items to the chosen hidden states of each tower."""
        return {name: tower.states(batch.content(name), indices[name]) for name, tower in self.present().items()}
