"""VQT against a literal pass of prompts and tokens together, for every family; and that no tower sees a prompt."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from peftrec.data.batches import TextBatch, TokenBatch
from peftrec.models.side_networks.query_prompts import QueryPrompts
from peftrec.models.towers.names import Modality
from peftrec.models.towers.tower import Tower
from small_families import CHECKPOINTS, load_towers, made_up_images, save_checkpoint
from small_models import SMALL_PAIRS, item_batch

NUM_PROMPTS = 2
ASKED = [name for name, checkpoint in CHECKPOINTS.items() if not checkpoint.family.attends_by_position]


def tower_of(modality: Modality) -> Tower:
    towers = SMALL_PAIRS[f"{modality}_only"].load(seed=0).requires_grad_(False).eval()
    return towers.present()[modality].double()


def network_of(tower: Tower, *, dropout: float = 0.0) -> QueryPrompts:
    torch.manual_seed(1)
    network = QueryPrompts(
        tower.width, num_blocks=tower.num_blocks, num_prompts=NUM_PROMPTS, patch_values=tower.width, dropout=dropout
    )
    return network.double()


def inputs_of(modality: Modality) -> Any:
    return item_batch(4, SMALL_PAIRS[f"{modality}_only"]).content(modality)


def unit(x: Tensor) -> Tensor:
    return x / x.square().sum().sqrt()


def affine(layer: Any, x: Tensor) -> Tensor:
    return layer.weight @ x + layer.bias


def norm(layer: Any, x: Tensor) -> Tensor:
    centred = x - x.mean()
    return centred / (centred.square().mean() + layer.eps).sqrt() * layer.weight + layer.bias


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def attended(query: Tensor, keys: list[Tensor], values: list[Tensor], num_heads: int) -> Tensor:
    """One query over all keys, head by head."""
    heads = []
    for q, *rows in zip(
        query.chunk(num_heads),
        *(key.chunk(num_heads) for key in keys),
        *(value.chunk(num_heads) for value in values),
        strict=True,
    ):
        k, v = rows[: len(keys)], rows[len(keys) :]
        weights = torch.stack([q @ each / len(q) ** 0.5 for each in k]).exp()
        heads.append(sum(weight * each for weight, each in zip(weights / weights.sum(), v, strict=True)))
    return torch.cat(heads)


def literal_bert(block: Any, queries: list[Tensor], tokens: list[Tensor], num_heads: int) -> list[Tensor]:
    """A block of BERT on rows that ask, of which keys and values are the tokens' alone."""
    attention = block.attention
    keys = [affine(attention.self.key, x) for x in tokens]
    values = [affine(attention.self.value, x) for x in tokens]
    rows = []
    for q in queries:
        a = attended(affine(attention.self.query, q), keys, values, num_heads)
        a = norm(attention.output.LayerNorm, affine(attention.output.dense, a) + q)
        inner = affine(block.output.dense, gelu(affine(block.intermediate.dense, a)))
        rows.append(norm(block.output.LayerNorm, inner + a))
    return rows


def literal_vit(block: Any, queries: list[Tensor], tokens: list[Tensor], num_heads: int) -> list[Tensor]:
    """The same of a block of a ViT, which norms before it reads."""
    attention = block.attention
    keys = [affine(attention.k_proj, norm(block.layernorm_before, x)) for x in tokens]
    values = [affine(attention.v_proj, norm(block.layernorm_before, x)) for x in tokens]
    rows = []
    for q in queries:
        query = affine(attention.q_proj, norm(block.layernorm_before, q))
        a = q + affine(attention.o_proj, attended(query, keys, values, num_heads))
        rows.append(a + affine(block.mlp.fc2, gelu(affine(block.mlp.fc1, norm(block.layernorm_after, a)))))
    return rows


def literal(network: QueryPrompts, tower: Tower, inputs: Any) -> Tensor:
    """One item after the other, its padding cut off: prompts and tokens pass each block together."""
    block_of = literal_bert if tower.modality == "text" else literal_vit
    num_heads = tower.encoder.config.num_attention_heads
    entering = tower.token_states(inputs, (0,))[0]
    mask = tower.token_mask(inputs, entering.shape[1])
    every = []
    for item in range(len(mask)):
        tokens = [x for x, known in zip(entering[item], mask[item], strict=True) if known]
        answers = []
        for place, block in enumerate(tower.blocks()):
            rows = block_of(block, [*network.prompts[place], *tokens], tokens, num_heads)
            answers.append(torch.cat(rows[:NUM_PROMPTS]))
            tokens = [row.detach() for row in rows[NUM_PROMPTS:]]
        last = tokens[0] if tower.modality == "text" else norm(tower.encoder.layernorm, tokens[0])
        every.append(torch.cat([unit(part) for part in (last, *answers)]))
    return torch.stack(every)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_it_computes_the_equations_and_their_gradients(modality: Modality) -> None:
    tower = tower_of(modality)
    assert tower.pooling == "cls"
    network, inputs = network_of(tower), inputs_of(modality)
    ours, theirs = network(tower, inputs), literal(network, tower, inputs)
    assert ours.shape == (4, network.out_width())
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    for one, other in zip(
        torch.autograd.grad(ours.pow(3).sum(), list(network.parameters())),
        torch.autograd.grad(theirs.pow(3).sum(), list(network.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
        assert (one.flatten(1).abs().sum(dim=1) > 0).all()  # each block's own


@torch.no_grad()
@pytest.mark.parametrize("name", ASKED)
def test_every_familys_blocks_run_as_on_prompts_and_tokens_together(name: str, tmp_path: Path) -> None:
    """The family's own block on both, with a mask that hides prompts from all."""
    saved = save_checkpoint(tmp_path / name, name)
    (tower,) = load_towers(saved.pair()).eval().double().present().values()
    if tower.modality == "image":
        inputs = made_up_images(saved.checkpoint, 3)
    else:
        inputs = item_batch(3, SMALL_PAIRS["text_only"]).content("text")
        inputs = TextBatch(token_ids=inputs.token_ids.clamp(max=9), mask=inputs.mask)
    entering: dict[int, Tensor] = {}
    with tower.visiting(on_input=entering.__setitem__):
        vector = tower(inputs)
    network = network_of(tower)
    parts = [vector]
    for place, block in enumerate(tower.blocks()):
        tokens = entering[place]
        mask = tower.token_mask(inputs, tokens.shape[1])[:, None, None, :].expand(-1, 1, NUM_PROMPTS, -1)
        hidden = mask.new_zeros(len(tokens), 1, NUM_PROMPTS, NUM_PROMPTS)
        rows = torch.cat([network.prompts[place].expand(len(tokens), -1, -1), tokens], dim=1)
        asking = torch.cat([hidden, mask], dim=3)
        everybody = nn.functional.pad(asking, (0, 0, 0, tokens.shape[1]), value=True)
        output = block(rows, everybody)
        parts.append((output if isinstance(output, Tensor) else output[0])[:, :NUM_PROMPTS].flatten(1))
    expected = torch.cat([nn.functional.normalize(part, dim=1) for part in parts], dim=1)
    torch.testing.assert_close(network(tower, inputs), expected, rtol=1e-6, atol=1e-7)
    layers = tuple(range(tower.num_blocks + 1))
    states = torch.stack(list(tower.token_states(inputs, layers).values()), dim=2)
    stored = TokenBatch(states=states, mask=tower.token_mask(inputs, states.shape[1]))
    tower.start_from_stored(layers, keeps_blocks=True)
    rows: list[int] = []
    for layer in tower.encoder.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda _, given, __: rows.append(given[0].shape[1]))
    torch.testing.assert_close(network(tower, stored), expected, rtol=1e-6, atol=1e-7)
    assert rows.count(states.shape[1]) == 2 * tower.num_blocks  # keys and values; all else is for prompts


@pytest.mark.parametrize("modality", ["text", "image"])
def test_the_towers_rows_are_bit_for_bit_those_without_prompts(modality: Modality) -> None:
    tower, inputs = tower_of(modality).float(), inputs_of(modality)
    alone: dict[int, Tensor] = {}
    beside: dict[int, Tensor] = {}
    with tower.visiting(on_output=alone.__setitem__):
        vector = tower(inputs)
    network = network_of(tower).float()
    with tower.visiting(on_output=beside.__setitem__):
        features = network(tower, inputs)
    assert list(alone) == list(beside) == list(range(tower.num_blocks))
    for place, rows in alone.items():
        assert torch.equal(rows, beside[place])
    assert torch.equal(features[:, : tower.width], nn.functional.normalize(vector, dim=1))
    assert torch.equal(tower(inputs), vector)  # and no hook stays


def test_padding_decides_nothing() -> None:
    tower, inputs = tower_of("text"), inputs_of("text")
    longer = TextBatch(
        token_ids=nn.functional.pad(inputs.token_ids, (0, 3), value=1), mask=nn.functional.pad(inputs.mask, (0, 3))
    )
    network = network_of(tower)
    torch.testing.assert_close(network(tower, longer), network(tower, inputs), rtol=1e-9, atol=1e-9)


def test_gradients_are_for_the_rows_of_the_prompts_alone() -> None:
    """Whatever of a tower may have a gradient: no activation of its own rows is kept for one."""
    tower, inputs = tower_of("image"), inputs_of("image")
    num_tokens, width = tower.token_states(inputs, (0,))[0].shape[1:]
    kept: list[tuple[int, ...]] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network_of(tower)(tower, inputs)
    heads = tower.encoder.config.num_attention_heads
    of_tokens = [shape for shape in kept if num_tokens in shape[1:3] and shape[0] == 4]
    assert set(of_tokens) == {(4, heads, num_tokens, width // heads)}  # keys and values, in heads
    assert len(of_tokens) <= 2 * tower.num_blocks


def test_prompts_drop_out_in_training_item_by_item() -> None:
    tower, inputs = tower_of("text"), inputs_of("text")
    network = network_of(tower, dropout=0.5)
    same = TextBatch(token_ids=inputs.token_ids[[0, 0]], mask=inputs.mask[[0, 0]])
    one, other = network.train()(tower, same)
    assert not torch.allclose(one, other)
    assert torch.equal(one[: tower.width], other[: tower.width])
    one, other = network.eval()(tower, same)
    torch.testing.assert_close(one, other)


def test_prompts_start_as_a_layer_from_patches_would() -> None:
    network = QueryPrompts(768, num_blocks=12, num_prompts=10, patch_values=3 * 16 * 16, dropout=0.1)
    bound = (6 / (3 * 16**2 + 768)) ** 0.5
    assert 0.99 * bound < network.prompts.abs().max() <= bound
    assert float(network.prompts.detach().mean().abs()) < 0.01 * bound
