"""`strategy.blocks`: what trains lies in the chosen blocks, and nothing happens below them."""

import re
from typing import Any

import pytest
import torch

from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError
from peftrec.models.towers.tower import Tower
from peftrec.models.towers.towers import Towers
from peftrec.strategies.adapted_blocks import AdaptedBlocks
from peftrec.strategies.base import Strategy
from peftrec.strategies.lora import LoRA
from small_models import BASE_SHAPE, SMALL_PAIRS, build_strategy, item_batch, strategy_files

PAIR = SMALL_PAIRS["text_and_image"]
CHOSEN = {"top_1": {3}, "top_3": {1, 2, 3}, "top_4": {0, 1, 2, 3}, (1, 3): {1, 3}}
NAMES = sorted(file.stem for file in strategy_files() if isinstance(build_strategy(file), AdaptedBlocks))
BLOCK = re.compile(r"(?:encoder\.layer|layers?)\.(\d+)\.")


def adapted(name: str, **changes: Any) -> tuple[Strategy, Towers, torch.nn.Module]:
    strategy = build_strategy(config_directory() / "strategy" / f"{name}.yaml", **changes)
    encoder = strategy.adapt(PAIR.load(seed=0), embedding_dim=8, num_items=5)
    return strategy, encoder.towers, encoder


def trained_blocks(tower: Tower) -> set[int]:
    """The blocks in which something trains; what trains elsewhere must be of the norm after the last."""
    found = set()
    for name, parameter in tower.named_parameters():
        if parameter.requires_grad and (block := BLOCK.search(name)):
            found.add(int(block[1]))
        elif parameter.requires_grad:
            assert tower.family.norm is not None
            assert f"encoder.{tower.family.norm}." in name
    return found


def test_every_strategy_that_changes_towers_has_it() -> None:
    assert {"full", "bitfit", "lora", "adapter", "adapter_parallel", "dora", "peft", "ln_tuning"} <= set(NAMES)


@pytest.mark.parametrize("blocks", CHOSEN)
@pytest.mark.parametrize("name", ["full", "bitfit", "lora", "adapter", "adapter_parallel", "ln_tuning"])
def test_what_trains_lies_in_the_chosen_blocks(name: str, blocks: str | tuple[int, ...]) -> None:
    _, towers, _ = adapted(name, blocks=blocks)
    for tower in towers.present().values():
        assert trained_blocks(tower) == CHOSEN[blocks]


@pytest.mark.parametrize("name", ["full", "lora", "adapter_parallel"])
def test_no_gradient_enters_and_nothing_is_drawn_below(name: str) -> None:
    _, towers, encoder = adapted(name, blocks="top_2")
    encoder.train()
    batch = item_batch(5, PAIR)
    for modality, tower in towers.present().items():
        below = {id(part) for part in tower.parts_below()}
        assert below
        assert all(part.training == (id(part) not in below) for part in tower.modules())
        assert {id(part) for block in tower.blocks()[:2] for part in block.modules()} <= below
        entering: dict[int, torch.Tensor] = {}
        with tower.visiting(on_input=entering.__setitem__):
            tower(batch.content(modality))
            first = dict(entering)
            tower(batch.content(modality))
        assert [entering[place].requires_grad for place in range(4)] == [False, False, False, True]
        assert all(torch.equal(first[place], entering[place]) for place in range(3))


def test_all_blocks_by_number_leave_the_embedding_layer_alone() -> None:
    _, towers, _ = adapted("full", blocks="top_4")
    for tower in towers.present().values():
        names = {name for name, parameter in tower.named_parameters() if not parameter.requires_grad}
        assert names
        assert all("embed" in name for name in names)


@pytest.mark.parametrize("blocks", ["top_5", (), (2, 1), (4,), (-1,)])
def test_blocks_that_are_not_there_are_refused(blocks: Any) -> None:
    with pytest.raises(SettingsError, match=r"^strategy\.blocks: .*(4 blocks|between 0 and 3|names no block)"):
        adapted("lora", blocks=blocks)


@pytest.mark.parametrize("blocks", ["top_0", "upper", "top_", 3, f"top_{'9' * 5000}"])
def test_what_names_no_blocks_is_refused_when_composing(blocks: Any) -> None:
    with pytest.raises(ValueError, match="blocks"):
        LoRA(blocks=blocks)


def test_counts_follow_the_number_of_blocks() -> None:
    def trainable(name: str, **changes: Any) -> int:
        strategy = build_strategy(config_directory() / "strategy" / f"{name}.yaml", **changes)
        towers = strategy.adapt(BASE_SHAPE.load(seed=0, with_weights=False), embedding_dim=64, num_items=9).towers
        return sum(parameter.numel() for parameter in towers.parameters() if parameter.requires_grad)

    block = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 2 * 2 * 768
    assert trainable("lora", blocks="top_4") * 3 == trainable("lora")
    assert trainable("adapter", blocks=[0, 11]) * 6 == trainable("adapter")
    assert trainable("full", blocks="top_2") == 2 * 2 * block + 2 * 768  # and ViT's last norm
    assert trainable("bitfit", blocks="top_1") == 2 * (4 * 768 + 3072 + 768 + 2 * 768) + 768
