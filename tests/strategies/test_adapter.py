"""Adapters stand behind both dense layers of every block, before residual and norm."""

import torch

from peftrec.models.side_networks.adapters import AdaptedLinear
from peftrec.models.side_networks.side_network import SideBlock
from peftrec.strategies.adapter import Adapter
from small_models import NUM_BLOCKS, SMALL_PAIRS, item_batch

PAIR = SMALL_PAIRS["text_and_image"]


def test_exactly_the_named_sites_are_wrapped() -> None:
    towers = Adapter().adapt(PAIR.load(seed=1), embedding_dim=8, num_items=4).towers
    for name, tower in PAIR.load(seed=1).present().items():
        wrapped = {
            path for path, part in towers.present()[name].encoder.named_modules() if isinstance(part, AdaptedLinear)
        }
        assert wrapped == set(tower.site_paths("attention_output") + tower.site_paths("ffn_output"))
        assert len(wrapped) == 2 * NUM_BLOCKS


def test_an_adapter_of_zeros_is_the_pretrained_tower() -> None:
    towers = Adapter().adapt(PAIR.load(seed=1), embedding_dim=8, num_items=4).towers.eval()
    for part in towers.modules():
        if isinstance(part, SideBlock):
            torch.nn.init.zeros_(part.up.weight)
    batch = item_batch(5, PAIR)
    expected = PAIR.load(seed=1)(batch)
    for name, vectors in towers(batch).items():
        assert torch.equal(vectors, expected[name])


def test_the_pretrained_layer_feeds_the_adapter() -> None:
    layer, adapter = torch.nn.Linear(6, 4), SideBlock(4, 2)
    states = torch.randn(3, 6)
    inner = torch.relu(layer(states) @ adapter.down.weight.T + adapter.down.bias)
    expected = layer(states) + inner @ adapter.up.weight.T + adapter.up.bias
    assert torch.allclose(AdaptedLinear(layer, adapter)(states), expected, atol=1e-6)
