"""LoRA adapts the pretrained layers of both towers, and refuses sites that are not there."""

import pytest
import torch

from peftrec.errors import SettingsError
from peftrec.models.towers.tower import Towers
from peftrec.strategies.lora import LoRA
from peftrec.towers.pair import TowerPair
from small_models import IMAGE, NUM_BLOCKS, SMALL_PAIRS, TEXT, item_batch

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
