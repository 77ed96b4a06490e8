"""VQT, Visual Query Tuning (Tu, Mai & Chao, CVPR 2023, arXiv:2212.03220): prompts that ask each block of a tower what
is in its input, and that its input never sees.

    a_l = softmax(Q(n(p_l)) K(n(x_l))^T / sqrt(d_head)) V(n(x_l))
    y_l = the rest of block l on p_l and a_l: output projection, residuals, norms and feed-forward network
    output = [v / |v|, flat(y_1) / |flat(y_1)|, .., flat(y_L) / |flat(y_L)|]

x_l is what enters block l = 1 .. L of a tower that is left as it is, p_l are the block's own T prompts, n is its norm
before attention, where it has one, and v is the tower's vector. Queries come from the prompts, keys and values from the
block's input alone, so that the tower's own rows are those of the tower without prompts, and gradients run through the
blocks for the rows of the prompts only. This is the network of the authors' code (andytu28/VQT,
models/vit_backbones/h2t_vit.py), where one pass has the rows of both. What differs:

- A block runs first on its input, without a gradient, and then on the prompts, whose attention reads the keys and
  values of the first pass. So the tower computes bit for bit what it would alone. Where the states of all tokens come
  from a store, no block runs on them: keys and values are made of what a store says entered it.
- v is pooled as the tower's vector is; there it is that of [CLS].
- A text tower has the same prompts. Padding is attended to by none, and where attention is causal a prompt asks all
  tokens. A title has no patches, whose number of values sets the range that prompts are drawn from: the width does,
  which is the same number at ViT-B/16.
- The layer from the output on is the fusion head's of the embedded methods, and no feature is selected.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from peftrec.models.towers.block_visits import input_of
from peftrec.models.towers.tower import Tower

Layers = Mapping[str, list[nn.Module]]
"""By site, a layer of each block."""
Ask = Callable[[int, Float[Tensor, "item token hidden"], Float[Tensor, "item token hidden"]], None]
"""Gets a block's place, from 0, and the keys and values of its input."""

SITES = ("query", "key", "value", "attention_output")
"""Layers of a block by which it is asked."""


class QueryPrompts(nn.Module):
    """What stands beside one tower."""

    def __init__(self, width: int, *, num_blocks: int, num_prompts: int, patch_values: int, dropout: float) -> None:
        """Draw the prompts as a layer from so many values of a patch to the width would be drawn (Xavier)."""
        super().__init__()
        self.prompts = nn.Parameter(torch.empty(num_blocks, num_prompts, width))
        bound = math.sqrt(6 / (patch_values + width))
        nn.init.uniform_(self.prompts, -bound, bound)
        self.dropout = nn.Dropout(dropout)

    def out_width(self) -> int:
        """Return the number of features of an item."""
        num_blocks, num_prompts, width = self.prompts.shape
        return (1 + num_blocks * num_prompts) * width

    def forward(self, tower: Tower, inputs: Any) -> Float[Tensor, "item out"]:
        """Encode items by the tower, without a gradient, and ask each of its blocks as soon as its keys are there."""
        sites = tower.family.sites
        layers = {site: [block.get_submodule(sites[site]) for block in tower.blocks()] for site in SITES}
        answers: list[Tensor] = []
        wants_gradient = torch.is_grad_enabled()

        def ask(place: int, keys: Tensor, values: Tensor) -> None:
            attend = partial(
                _attended,
                keys=keys,
                values=values,
                mask=tower.token_mask(inputs, keys.shape[1]),
                num_heads=tower.encoder.config.num_attention_heads,
            )
            with (
                torch.set_grad_enabled(wants_gradient),
                _attending(layers["query"][place], layers["attention_output"][place], attend),
            ):
                prompts = self.dropout(self.prompts[place].expand(len(keys), -1, -1))
                # Not a call of the block, which would show what leaves it once more.
                answer = tower.blocks()[place].forward(prompts, None)
            answers.append(answer if isinstance(answer, Tensor) else answer[0])

        encode = _encode_live if tower.prefix is None else _encode_stored
        with torch.no_grad():
            vector = encode(tower, inputs, layers, ask)
        parts = [vector.to(answers[0].dtype), *(answer.flatten(1) for answer in answers)]
        return torch.cat([nn.functional.normalize(part, dim=1) for part in parts], dim=1)


def _encode_live(tower: Tower, inputs: Any, layers: Layers, ask: Ask) -> Float[Tensor, "item hidden"]:
    """Run the tower, and have each block asked as soon as it has run."""
    with (
        _outputs_of(layers["key"]) as keys,
        _outputs_of(layers["value"]) as values,
        tower.visiting(on_output=lambda place, _: ask(place, keys.pop(place), values.pop(place))),
    ):
        return tower(inputs)


def _encode_stored(tower: Tower, inputs: Any, layers: Layers, ask: Ask) -> Float[Tensor, "item hidden"]:
    """Make keys and values of what entered each block; a block runs as far as that which its attention reads."""
    for place, block in enumerate(tower.blocks()):
        tokens = tower.token_states(inputs, (place,))[place]
        attended = input_of(layers["query"][place], partial(block.forward, tokens, None))
        ask(place, layers["key"][place](attended), layers["value"][place](attended))
    return tower(inputs)


def _attended(
    queries: Float[Tensor, "item prompt hidden"],
    *,
    keys: Float[Tensor, "item token hidden"],
    values: Float[Tensor, "item token hidden"],
    mask: Bool[Tensor, "item token"],
    num_heads: int,
) -> Float[Tensor, "item prompt hidden"]:
    query, key, value = (rows.unflatten(2, (num_heads, -1)).transpose(1, 2) for rows in (queries, keys, values))
    attended = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
    return attended.transpose(1, 2).flatten(2)


@contextmanager
def _outputs_of(layers: list[nn.Module]) -> Iterator[dict[int, Tensor]]:
    """Keep what each layer gives, by its place, from 0."""
    outputs: dict[int, Tensor] = {}

    def keep(_: nn.Module, __: Any, output: Tensor, *, place: int) -> None:
        outputs[place] = output

    with ExitStack() as watching:
        for place, layer in enumerate(layers):
            watching.callback(layer.register_forward_hook(partial(keep, place=place)).remove)
        yield outputs


@contextmanager
def _attending(query: nn.Module, output: nn.Module, attend: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Have the output layer of an attention read what `attend` makes of the queries, and not what the attention did."""
    queries: list[Tensor] = []

    def keep(_: nn.Module, __: Any, given: Tensor) -> None:
        queries.append(given)

    def replace(_: nn.Module, __: Any) -> tuple[Tensor]:
        return (attend(queries.pop()),)

    with ExitStack() as watching:
        watching.callback(query.register_forward_hook(keep).remove)
        watching.callback(output.register_forward_pre_hook(replace).remove)
        yield
