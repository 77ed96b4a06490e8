"""What VQT reads and refuses, and what its head is over."""

from pathlib import Path

import numpy as np
import pytest

from peftrec.errors import SettingsError
from peftrec.models.item_encoder import BesideTowersEncoder
from peftrec.models.side_networks.query_prompts import QueryPrompts
from peftrec.models.towers.names import OUTPUT
from peftrec.strategies.vqt import VQT
from peftrec.towers.pair import TowerPair
from peftrec.towers.ready_features import ReadyFeatures
from small_families import load_towers, save_checkpoint
from small_models import BASE_SHAPE


def test_the_head_reads_the_answers_of_all_blocks() -> None:
    strategy = VQT(num_prompts=3)
    towers = BASE_SHAPE.load(seed=0, with_weights=False)
    encoder = strategy.adapt(towers, embedding_dim=8, num_items=4)
    assert isinstance(encoder, BesideTowersEncoder)
    assert not any(parameter.requires_grad for parameter in encoder.towers.parameters())
    for name, prompts in encoder.beside.items():
        assert isinstance(prompts, QueryPrompts)
        assert prompts.prompts.shape == (12, 3, 768)
        assert encoder.head.project[name].in_features == (1 + 12 * 3) * 768
    assert strategy.reads(towers.depths()).layers == dict.fromkeys(("image", "text"), (*range(12), OUTPUT))


@pytest.mark.parametrize("name", ["deberta_v2", "deberta_v3"])
def test_attention_by_position_is_refused(name: str, tmp_path: Path) -> None:
    towers = load_towers(save_checkpoint(tmp_path / name, name).pair())
    with pytest.raises(SettingsError, match=r"towers\.text: a DebertaV2Model weighs tokens by where they stand"):
        VQT().adapt(towers, embedding_dim=8, num_items=4)


def test_ready_features_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.zeros((4, 6), dtype=np.float32))
    towers = TowerPair(text=ReadyFeatures(file=str(tmp_path / "text.npy")), image=None).load(seed=0)
    with pytest.raises(SettingsError, match="ready features have no tokens and no blocks; choose a strategy"):
        VQT().adapt(towers, embedding_dim=8, num_items=4)
