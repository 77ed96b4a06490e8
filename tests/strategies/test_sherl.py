"""What SHERL refuses."""

from dataclasses import replace

import pytest

from peftrec.errors import SettingsError
from peftrec.strategies.sherl import SHERL
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedText
from small_models import SMALL_PAIRS


def test_a_tower_of_one_block_and_a_reduction_that_does_not_divide_are_refused() -> None:
    text = SMALL_PAIRS["text_only"].text
    assert isinstance(text, PretrainedText)
    assert text.architecture is not None
    flat = TowerPair(text=replace(text, architecture={**text.architecture, "num_hidden_layers": 1}), image=None)
    with pytest.raises(SettingsError, match=r"towers\.text: one block, .* take a deeper tower"):
        SHERL().adapt(flat.load(seed=0), embedding_dim=8, num_items=4)
    with pytest.raises(SettingsError, match=r"strategy\.reduction: 3 does not divide \d+, the width of the text tower"):
        SHERL(reduction=3).adapt(SMALL_PAIRS["text_only"].load(seed=0), embedding_dim=8, num_items=4)
