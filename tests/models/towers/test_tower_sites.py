"""Sites that are asked of one tower alone, and of a layer that computes several things."""

import re

import pytest
from markdown_pages import REPOSITORY

from peftrec.errors import SettingsError
from peftrec.models.towers.families import FAMILIES
from peftrec.models.towers.tower_sites import asked_of_each, sites_by_tower
from peftrec.models.towers.towers import Towers
from peftrec.strategies.lora import LoRA
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from small_families import CHECKPOINTS, NUM_BLOCKS, WIDTH


@pytest.fixture(scope="module")
def pair() -> TowerPair:
    return TowerPair(
        text=PretrainedText(architecture=CHECKPOINTS["modernbert"].architecture(), random_init=True),
        image=PretrainedImage(architecture=CHECKPOINTS["vit"].architecture(), random_init=True),
    )


@pytest.fixture(scope="module")
def towers(pair: TowerPair) -> Towers:
    return pair.load(seed=0, with_weights=False)


def test_a_site_without_a_towers_name_is_asked_of_all(towers: Towers) -> None:
    found = sites_by_tower(("ffn_output", "text.query_key_value", "image.query", "attention_output"), towers)
    assert found == {
        "image": ("ffn_output", "query", "attention_output"),
        "text": ("ffn_output", "query_key_value", "attention_output"),
    }
    assert asked_of_each(("image.query",), towers) == {"image": ("query",), "text": ()}


@pytest.mark.parametrize(
    ("sites", "words"),
    [
        (("txt.query",), r"txt\.query is of no tower; the towers are image, text"),
        (("image.query",), r"none is asked of the text tower; name one of its own, text\.SITE"),
        (("text.query_key_value", "image.q"), "'q' matches nothing in the image tower"),
    ],
)
def test_what_asks_for_nothing_is_refused(pair: TowerPair, sites: tuple[str, ...], words: str) -> None:
    with pytest.raises(SettingsError, match=rf"strategy\.sites: {words}"):
        LoRA(sites=sites).adapt(pair.load(seed=0), embedding_dim=8, num_items=4)


def test_a_part_of_a_layer_is_refused_with_the_setting_that_takes_the_layer(pair: TowerPair) -> None:
    with pytest.raises(SettingsError, match="query, value of the text tower is no layer of its own") as caught:
        LoRA().adapt(pair.load(seed=0), embedding_dim=8, num_items=4)
    _, _, remedy = str(caught.value).partition("set 'strategy.sites=[")
    sites = tuple(remedy.removesuffix("]'").split(","))
    assert sites == ("image.query", "image.value", "text.query_key_value")
    encoder = LoRA(sites=sites, rank=2).adapt(pair.load(seed=0), embedding_dim=8, num_items=4)
    num_trainable = sum(each.numel() for each in encoder.towers.parameters() if each.requires_grad)
    assert num_trainable == NUM_BLOCKS * 2 * (2 * (WIDTH + WIDTH) + (WIDTH + 3 * WIDTH))


def test_one_tower_is_told_its_site_without_its_name(towers: Towers) -> None:
    with pytest.raises(SettingsError, match=r"set 'strategy\.sites=\[query_key_value,ffn_output\]'"):
        sites_by_tower(("key", "value", "ffn_output"), Towers(text=towers.text))


def test_the_page_of_strategies_lists_every_site() -> None:
    text = (REPOSITORY / "docs" / "strategies.md").read_text(encoding="utf-8")
    rows = re.search(r"^\| site \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    assert rows is not None
    cells = [row.split("|")[1:4] for row in rows[0].splitlines()[2:]]
    listed = {name: where.strip() for names, _, where in cells for name in re.findall(r"`([^`]+)`", names)}
    held = [family.sites | family.gated_sites for family in FAMILIES.values()]
    assert set(listed) == {site for sites in held for site in sites}
    assert {name for name, where in listed.items() if where == "all"} <= set.intersection(*map(set, held))
