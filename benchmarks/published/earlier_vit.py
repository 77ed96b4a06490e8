"""A ViT in the module layout of transformers 4, which the published code wraps and replaces by name.

transformers 5 has no `vit.encoder.layer[i].attention.attention.query`, `.attention.output` or `.output` any more. The
arithmetic, and attention through scaled_dot_product_attention, are those of the installed version's ViT, so that this
side loses nothing by it; a test holds both together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification


@dataclass
class Outputs:
    """What the published encoders read: `[0]` are the logits."""

    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None

    def __getitem__(self, index: int) -> Tensor:
        if index != 0:
            raise IndexError(index)
        return self.logits


class SelfAttention(nn.Module):
    """Query, key and value, and attention."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))

    def forward(self, states: Tensor) -> Tensor:
        query, key, value = (
            layer(states).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        return nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class SelfOutput(nn.Module):
    """The layer after attention; the residual is the block's."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states: Tensor, block_input: Tensor) -> Tensor:
        del block_input
        return self.dropout(self.dense(states))


class Attention(nn.Module):
    """Attention and its output layer."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.output = SelfOutput(config)

    def forward(self, states: Tensor) -> Tensor:
        return self.output(self.attention(states), states)


class Output(nn.Module):
    """The second layer of the feed-forward part, with its residual."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states: Tensor, residual: Tensor) -> Tensor:
        return self.dropout(self.dense(states)) + residual


class Block(nn.Module):
    """One pre-norm block."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = Output(config)
        self.layernorm_before = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, states: Tensor) -> Tensor:
        states = self.attention(self.layernorm_before(states)) + states
        return self.output(nn.functional.gelu(self.intermediate(self.layernorm_after(states))), states)


class EarlierViT(nn.Module):
    """The classifier that the published code loads, with the installed version's embeddings and weights."""

    def __init__(self, source: ViTForImageClassification) -> None:
        super().__init__()
        config = source.config
        self.vit = nn.Module()
        self.vit.embeddings = source.vit.embeddings
        self.vit.encoder = nn.Module()
        self.vit.encoder.layer = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.vit.layernorm = source.vit.layernorm
        self.classifier = source.classifier
        for block, layer in zip(self.vit.encoder.layer, source.vit.layers, strict=True):
            block.load_state_dict({new: layer.get_parameter(old) for new, old in _names(block)})

    def forward(
        self, pixel_values: Tensor, return_dict: bool | None = None, output_hidden_states: bool = False
    ) -> Outputs:
        states = self.vit.embeddings(pixel_values)
        every = [states]
        for block in self.vit.encoder.layer:
            states = block(states)
            every.append(states)
        logits = self.classifier(self.vit.layernorm(states)[:, 0])
        return Outputs(logits=logits, hidden_states=tuple(every) if output_hidden_states else None)


def _names(block: Block) -> list[tuple[str, str]]:
    """Pair this layout's names with the installed version's."""
    layers = {
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
        "intermediate": "mlp.fc1",
        "output.dense": "mlp.fc2",
    }
    pairs = []
    for name, _ in block.named_parameters():
        layer, _, kind = name.rpartition(".")
        pairs.append((name, f"{layers.get(layer, layer)}.{kind}"))
    return pairs


def random_vit(config: ViTConfig, *, seed: int = 0) -> EarlierViT:
    """Build one with random weights."""
    torch.manual_seed(seed)
    return EarlierViT(ViTForImageClassification(config))
