"""LoRA adapts the pretrained layers of both towers, and refuses sites that are not there."""

import pytest
import torch

from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError
from peftrec.models.towers.towers import Towers
from peftrec.strategies.lora import LoRA
from peftrec.towers.pair import TowerPair
from small_models import IMAGE, NUM_BLOCKS, SMALL_PAIRS, TEXT, build_strategy, item_batch

PAIR = SMALL_PAIRS["text_and_image"]


def adapted(strategy: LoRA, pair: TowerPair = PAIR) -> Towers:
    return strategy.adapt(pair.load(seed=1), embedding_dim=8, num_items=4).towers


def test_every_block_of_both_towers_is_adapted() -> None:
    towers = adapted(LoRA())
    for tower in towers.present().values():
        names = {name.rsplit(".", 3)[0] for name, _ in tower.encoder.named_parameters() if "lora_A" in name}
        expected = {path for site in ("query", "value") for path in tower.site_paths(site)}
        assert {name.removesuffix(".lora_A") for name in names} == expected
        assert len(expected) == 2 * NUM_BLOCKS


def test_the_pretrained_weights_stay_below_the_update() -> None:
    """The published code put fresh random layers there instead."""
    before = {name: p.clone() for name, p in PAIR.load(seed=1).named_parameters()}
    towers = adapted(LoRA())
    kept = {name.replace(".base_layer", ""): p for name, p in towers.named_parameters() if "lora_" not in name}
    assert set(kept) == set(before)
    assert all(torch.equal(kept[name], before[name]) for name in before)
    assert not any(p.requires_grad for p in kept.values())


def test_the_update_is_alpha_over_rank_times_b_a() -> None:
    strategy = LoRA(rank=2, alpha=6.0)
    towers = adapted(strategy)
    merged = PAIR.load(seed=1)
    generator = torch.Generator().manual_seed(3)
    for tower, plain in zip(towers.present().values(), merged.present().values(), strict=True):
        weights = dict(tower.encoder.named_parameters())
        for site in strategy.sites:
            for path in plain.site_paths(site):
                a = weights[f"{path}.lora_A.default.weight"]
                b = weights[f"{path}.lora_B.default.weight"]
                b.data.normal_(generator=generator)
                plain.encoder.get_submodule(path).weight.data += 6.0 / 2 * (b @ a)  # type: ignore[union-attr, operator]
    batch = item_batch(5, PAIR)
    towers.eval()
    for name, vectors in towers(batch).items():
        assert torch.allclose(vectors, merged(batch)[name], atol=1e-5)


def test_a_site_that_matches_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"'querry' matches nothing.*query, key, value") as refused:
        adapted(LoRA(sites=("querry",)))
    assert "strategy.sites" in str(refused.value)


@pytest.mark.parametrize("pair", [TowerPair(text=TEXT, image=None), TowerPair(text=None, image=IMAGE)])
def test_one_tower_is_enough(pair: TowerPair) -> None:
    assert sum("lora_B" in name for name, _ in adapted(LoRA(), pair).named_parameters()) == 2 * NUM_BLOCKS


def test_biases_of_the_adapted_layers_train_where_that_is_asked_for() -> None:
    towers = adapted(LoRA(rank=2, alpha=1.0, trains_biases=True))
    for tower in towers.present().values():
        trained = {name for name, p in tower.encoder.named_parameters() if p.requires_grad and "lora_" not in name}
        paths = {path for site in ("query", "value") for path in tower.site_paths(site)}
        assert {name.replace(".base_layer", "") for name in trained} == {f"{path}.bias" for path in paths}


def test_the_published_call_is_loralib_s_on_pretrained_weights() -> None:
    """loralib 0.1.1: result = W x + b, plus (x A' B') times lora_alpha / r, where lora_alpha is 1 unless given."""
    strategy = build_strategy(config_directory() / "strategy" / "lora_published.yaml")
    assert isinstance(strategy, LoRA)
    tower = adapted(strategy).text
    assert tower is not None
    layer = tower.encoder.get_submodule(tower.site_paths("query")[0])
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight  # type: ignore[index, union-attr]
    generator = torch.Generator().manual_seed(0)
    b.data.normal_(generator=generator)  # type: ignore[union-attr, operator]
    inputs = torch.randn(5, a.shape[1], generator=generator)  # type: ignore[union-attr]
    base = layer.base_layer  # type: ignore[union-attr]
    expected = torch.nn.functional.linear(inputs, base.weight, base.bias) + (inputs @ a.T @ b.T) * (1 / 8)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(layer(inputs), expected)
