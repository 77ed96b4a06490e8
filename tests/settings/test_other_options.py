"""A key of another option is answered with the options that have it."""

import pytest

from peftrec.errors import SettingsError
from peftrec.settings.composition import compose_settings
from peftrec.settings.other_options import options_with


def refusal(*words: str) -> str:
    with pytest.raises(SettingsError) as caught:
        compose_settings(words)
    return str(caught.value)


def test_data_of_ones_own_need_a_reader() -> None:
    said = refusal("data.root=DATA")
    assert said.startswith("unknown key data.root; write data=NAME beside it, of those that have it: amazon_2014, ")
    assert said.endswith(", table, yelp")
    assert "synthetic" not in said


@pytest.mark.parametrize("option", options_with("strategy.rank"))
def test_what_is_answered_composes(option: str) -> None:
    assert compose_settings([f"strategy={option}", "strategy.rank=2"])
    assert f" {option}" in refusal("strategy=frozen", "strategy.rank=2").partition("have it:")[2]


def test_options_whose_class_has_the_key_have_it_too() -> None:
    """Most yaml files leave a default out; and what the chosen option calls nearly so is said beside them."""
    said = refusal("strategy=frozen", "strategy.blocks=top_2")
    assert {"bitfit", "full", "lora", "lora_cached", "peft"} <= {*said.partition("have it: ")[2].split(", ")}
    assert refusal("strategy=iisan", "strategy.blocks=top_2") == said.replace("; write ", "; write strategy.block, or ")


def test_a_name_of_ones_own_below_a_key_is_answered_as_the_key_is() -> None:
    said = refusal("data=iisan", "data.root=DATA", "data.texts.description=about")
    assert said.startswith("unknown key data.texts.description; write data=NAME beside it, of those that have it: ")
    assert "iisan" not in said
    assert options_with("data.texts.description") == options_with("data.texts")


def test_a_mistyped_key_is_no_key_of_another_option() -> None:
    assert refusal("strategy=lora", "strategy.rnak=2") == "unknown key strategy.rnak; did you mean strategy.rank?"
    assert refusal("strategy=frozen", "strategy.zzz=2").startswith("unknown key strategy.zzz; the keys of strategy are")
    assert options_with("nowhere.rank") == options_with("strategy") == []
