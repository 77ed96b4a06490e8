"""The two published rules for dropping layers, and what is refused."""

import itertools

import pytest

from peftrec.errors import SettingsError
from peftrec.models.side_networks.options import LayerRule, Layers
from peftrec.models.side_networks.side_layers import (
    branches_over,
    checked_layers,
    every_second_layer,
    last_layers_of_groups,
)

PUBLISHED = {
    12: (1, 3, 5, 7, 9, 11),
    24: (3, 7, 11, 15, 19, 23),
    28: (2, 7, 12, 17, 22, 27),  # Gemma-7B
    32: (1, 7, 13, 19, 25, 31),  # LLaMA-7B and 8B
    48: (2, 11, 20, 29, 38, 47),  # EVA-18B
    56: (5, 15, 25, 35, 45, 55),  # Mixtral
    80: (4, 19, 34, 49, 64, 79),  # LLaMA-70B
}
"""Blocks to the 0-based layer ids of the published scripts of IISAN-Versa."""


@pytest.mark.parametrize("num_blocks", PUBLISHED)
def test_groups_reproduce_the_published_lists(num_blocks: int) -> None:
    assert last_layers_of_groups(num_blocks, 6) == (0, *(layer + 1 for layer in PUBLISHED[num_blocks]))


@pytest.mark.parametrize("num_groups", [1, 2, 5, 6, 12])
def test_groups_end_at_the_top_at_one_stride(num_groups: int) -> None:
    for num_blocks in range(1, 100):
        embedding, *layers = last_layers_of_groups(num_blocks, num_groups)
        assert embedding == 0
        assert layers[-1] == num_blocks
        assert len(layers) == min(num_blocks, num_groups)
        assert layers[0] >= 1
        assert len({upper - lower for lower, upper in itertools.pairwise(layers)}) <= 1


def test_a_tower_of_at_most_as_many_blocks_keeps_them_all() -> None:
    assert last_layers_of_groups(6, 6) == (0, 1, 2, 3, 4, 5, 6)
    assert last_layers_of_groups(4, 6) == (0, 1, 2, 3, 4)


def test_both_rules_agree_on_a_base_tower() -> None:
    assert every_second_layer(12) == last_layers_of_groups(12, 6) == (0, 2, 4, 6, 8, 10, 12)
    assert every_second_layer(5) == (0, 1, 3, 5)


def checked(layers: Layers, *, starts: bool = False, num_blocks: int = 4) -> tuple[int, ...]:
    return checked_layers("strategy.some", layers, tower="text", num_blocks=num_blocks, starts_from_embedding=starts)


@pytest.mark.parametrize(
    ("rule", "num_blocks", "ids"),
    [
        ("every_second", 12, (1, 3, 5, 7, 9, 11)),
        ("all", 12, tuple(range(12))),
        ("top_half", 12, (6, 7, 8, 9, 10, 11)),
        ("every_second", 24, tuple(range(1, 24, 2))),
        ("all", 24, tuple(range(24))),
        ("top_half", 24, tuple(range(12, 24))),
        ("every_second", 5, (0, 2, 4)),
        ("all", 5, (0, 1, 2, 3, 4)),
        ("top_half", 5, (2, 3, 4)),
        ("top_half", 1, (0,)),
    ],
)
def test_a_rule_reads_the_embedding_and_blocks_by_their_published_ids(
    rule: LayerRule, num_blocks: int, ids: tuple[int, ...]
) -> None:
    """The first three are the lists in IISAN's scripts."""
    expected = (0, *(block + 1 for block in ids))
    assert checked(rule, num_blocks=num_blocks) == checked(rule, num_blocks=num_blocks, starts=True) == expected
    assert checked(expected, num_blocks=num_blocks) == expected


def test_top_half_has_as_many_blocks_as_every_second() -> None:
    for num_blocks in range(1, 60):
        top_half, every_second = (checked(rule, num_blocks=num_blocks) for rule in ("top_half", "every_second"))
        assert len(top_half) == len(every_second), num_blocks


def test_starting_from_the_embedding_reads_it_first() -> None:
    assert checked((2, 4)) == (2, 4)
    assert checked((2, 4), starts=True) == checked((0, 2, 4), starts=True) == (0, 2, 4)


@pytest.mark.parametrize("layers", [(), (0, 5), (2, 1), (1, 1), (-1, 2)])
def test_impossible_layers_are_refused(layers: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match=r"strategy\.some: .* between 0 and 4.*text tower"):
        checked(layers)


def test_starting_from_the_embedding_needs_a_block() -> None:
    with pytest.raises(SettingsError, match=r"strategy\.some: .*a layer above 0"):
        checked("all", starts=True, num_blocks=0)
    with pytest.raises(SettingsError, match=r"strategy\.some: .*a layer above 0"):
        checked((0,), starts=True)


def test_branches_by_towers() -> None:
    assert branches_over(["image", "text"], "intra_inter") == ["image", "text", "inter"]
    assert branches_over(["image", "text"], "intra") == ["image", "text"]
    assert branches_over(["image", "text"], "inter") == ["inter"]
    assert branches_over(["text"], "intra_inter") == branches_over(["text"], "intra") == ["text"]
    with pytest.raises(SettingsError, match=r"strategy\.branches: .* only image is there; use intra"):
        branches_over(["image"], "inter")
