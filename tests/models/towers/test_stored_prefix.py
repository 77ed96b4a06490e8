"""A tower that starts from stored states of its tokens answers as the whole tower does, whatever the family."""

from collections.abc import Callable

import pytest
import torch

from peftrec.data.batches import ItemBatch, TokenBatch
from peftrec.models.towers.names import OUTPUT
from peftrec.models.towers.stored_precision import keep
from peftrec.models.towers.tower import Tower
from peftrec.models.towers.towers import Towers
from small_families import CHECKPOINTS, NUM_BLOCKS, Saved, load_batch, load_towers

CUTS = range(NUM_BLOCKS + 1)
PADDED = [
    name
    for name, each in CHECKPOINTS.items()
    if each.family.pads_patches or (each.modality == "text" and not each.family.attends_to_padding)
]
"""Checkpoints whose tokens are padded to the longest title, or to the most patches, and masked."""


def load(saved: Saved) -> tuple[Towers, ItemBatch]:
    return load_towers(saved.pair()).eval(), load_batch(saved.pair())


def only(towers: Towers) -> Tower:
    (tower,) = towers.present().values()
    return tower


def stored(towers: Towers, batch: ItemBatch, layers: tuple[int, ...]) -> TokenBatch:
    """What a store of those states would hand over."""
    name = only(towers).modality
    with torch.no_grad():
        return towers.token_states(batch, {name: layers})[name]


@pytest.mark.parametrize("first", CUTS)
def test_the_blocks_from_one_on_answer_as_the_whole_tower(saved: Saved, first: int) -> None:
    whole, batch = load(saved)
    cut, _ = load(saved)
    tokens = stored(whole, batch, (first,))
    only(cut).start_from_stored((first,))
    with torch.no_grad():
        torch.testing.assert_close(only(cut)(tokens), only(whole)(batch.content(only(whole).modality)))


def test_every_state_that_is_stored_is_seen_on_the_way(saved: Saved) -> None:
    """What reads the inputs of blocks, or all states, needs no code of its own for stored ones."""
    whole, batch = load(saved)
    cut, _ = load(saved)
    layers = tuple(range(NUM_BLOCKS))
    tokens = stored(whole, batch, layers)
    only(cut).start_from_stored(layers)
    indices = (*range(NUM_BLOCKS + 1), OUTPUT)
    seen: list[torch.Tensor] = []
    with torch.no_grad():
        expected = only(whole).token_states(batch.content(only(whole).modality), indices)
        found = only(cut).token_states(tokens, indices)
        with only(cut).visiting(on_input=lambda _, entering: seen.append(entering)):
            only(cut)(tokens)
    for index in indices:
        mask = tokens.mask
        torch.testing.assert_close(found[index][mask], expected[index][mask])
    for index in layers:
        torch.testing.assert_close(seen[index][tokens.mask], expected[index][tokens.mask])


@pytest.mark.parametrize("first", CUTS)
def test_what_stays_is_what_lies_above(saved: Saved, first: int) -> None:
    """Names and values of parameters are the whole tower's, so that checkpoints and peft's targets are the same."""
    whole, _ = load(saved)
    cut, _ = load(saved)
    only(cut).start_from_stored((first,))
    parameters, kept = dict(only(whole).named_parameters()), dict(only(cut).named_parameters())
    above = {name for name, _ in only(whole).open_parameters(range(first, NUM_BLOCKS))}
    assert above <= set(kept) <= set(parameters)
    assert all(torch.equal(parameter, parameters[name]) for name, parameter in kept.items())
    gone = only(whole)
    gone.freeze_below(first)
    below = {id(parameter) for part in gone.parts_below() for parameter in part.parameters()}
    kept_below = {name for name in set(kept) - above if id(parameters[name]) in below}
    # Beside DeBERTa's blocks lie relative positions, which all of them read, and what stands behind the first.
    beside = ["encoder.encoder.rel_embeddings", "encoder.encoder.LayerNorm", *(["encoder.encoder.conv"] * (first == 0))]
    assert all(name.startswith(tuple(beside)) for name in kept_below)


@pytest.mark.parametrize("name", PADDED)
def test_padding_decides_nothing(name: str, saved_of: Callable[[str], Saved]) -> None:
    saved = saved_of(name)
    whole, batch = load(saved)
    assert not batch.content(saved.modality).mask.all()
    cut, _ = load(saved)
    tokens = stored(whole, batch, (1,))
    only(cut).start_from_stored((1,))
    noise = torch.randn(tokens.states.shape, generator=torch.Generator().manual_seed(0))
    padding = ~tokens.mask[:, :, None, None]
    others = TokenBatch(states=torch.where(padding, noise, tokens.states), mask=tokens.mask)
    with torch.no_grad():
        torch.testing.assert_close(only(cut)(others), only(cut)(tokens))


def test_a_state_below_the_last_block_does_not_run_the_rest(saved: Saved) -> None:
    whole, batch = load(saved)
    ran: list[int] = []
    for place, block in enumerate(only(whole).blocks()):
        block.register_forward_hook(lambda *_, place=place: ran.append(place))
    stored(whole, batch, (1,))
    assert ran == [0]


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_states_are_restored_to_the_towers_precision(saved: Saved, precision: str) -> None:
    whole, batch = load(saved)
    tokens = stored(whole, batch, (1,))
    only(whole).start_from_stored((1,))
    kept = TokenBatch(states=keep(tokens.states, precision), mask=tokens.mask)
    with torch.no_grad():
        found, expected = only(whole)(kept), only(whole)(tokens)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
    assert not torch.equal(found, expected)


@pytest.mark.parametrize("layers", [(NUM_BLOCKS + 1,), (2, 1), (1, 1), (-1,)])
def test_states_that_no_tower_has_are_refused(saved: Saved, layers: tuple[int, ...]) -> None:
    towers, _ = load(saved)
    with pytest.raises(ValueError, match="encoder of"):
        only(towers).start_from_stored(layers)


def test_blocks_that_stay_need_every_state(saved: Saved) -> None:
    towers, _ = load(saved)
    with pytest.raises(ValueError, match="alone of an encoder"):
        only(towers).start_from_stored((0, NUM_BLOCKS), keeps_blocks=True)


def test_a_batch_of_other_states_is_refused(saved: Saved) -> None:
    towers, batch = load(saved)
    tokens = stored(towers, batch, (0, 1))
    only(towers).start_from_stored((1,))
    with pytest.raises(ValueError, match="2 stored states"):
        only(towers)(tokens)
