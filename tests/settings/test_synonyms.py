"""Words of other programs: each is answered with what composes here."""

import pytest

from peftrec.errors import SettingsError
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import settings_to_config
from peftrec.settings.run_identity import flat_config
from peftrec.settings.synonyms import _KEY_OF, _KEYS, _SPECIAL, in_our_words

VALUES = {
    "data": "movielens",
    "strategy": "lora",
    "user_encoder": "gru4rec",
    "objective": "debiased_cross_entropy",
    "logger": "none",
    "runs_dir": "out",
    "name": "mine",
    "data.root": "DIR",
    "data.images": "images.zip",
    "towers.text.checkpoint": "a/b",
    "towers.image.checkpoint": "a/b",
    "evaluation.monitor": "hr@5",
    "trainer.gradient_checkpointing": True,
    "strategy.alpha": 16.0,
}
BESIDE = {
    "data": ["data.root=DIR"],
    "data.root": ["data=movielens"],
    "data.images": ["data=table", "data.root=DIR"],
    "strategy.rank": ["strategy=lora"],
    "strategy.alpha": ["strategy=lora"],
}
"""What else must be said, so that the answer composes."""


@pytest.mark.parametrize("key", _KEYS)
def test_a_word_is_answered_with_words_that_compose(key: str) -> None:
    word = _KEYS[key].split()[0]
    value = VALUES.get(key, 8)
    instead = in_our_words(word, value)
    assert instead is not None
    assert instead.startswith(f"{key}=")
    config = flat_config(settings_to_config(compose_settings([*BESIDE.get(key, []), instead])))
    assert key not in config or config[key] == value


@pytest.mark.parametrize(
    ("word", "value", "instead"),
    [
        ("lr", 0.001, [f"learning_rates.{name}=0.001" for name in ("text", "image", "introduced", "recommender")]),
        ("gpus", 2, ["trainer.accelerator=gpu", "trainer.devices=2"]),
        ("gpus", 0, ["trainer.accelerator=cpu"]),
        ("device", "cpu", ["trainer.accelerator=cpu"]),
        ("device", "cuda", ["trainer.accelerator=gpu"]),
        ("use_cuda", True, ["trainer.accelerator=gpu"]),
        ("precision", "fp16", ["trainer.precision=16-mixed"]),
        ("bf16", True, ["trainer.precision=bf16-mixed"]),
        ("model", "lora", ["strategy=lora"]),
        ("model", "gru4rec", ["user_encoder=gru4rec"]),
        ("wandb", True, ["logger=wandb"]),
        ("fast_dev_run", True, ["debug=fast"]),
    ],
)
def test_a_word_that_is_several_keys_or_depends_on_its_value(word: str, value: object, instead: list[str]) -> None:
    found = in_our_words(word, value)
    assert found is not None
    assert found.split() == instead
    config = flat_config(settings_to_config(compose_settings(instead)))
    for each in instead:
        key, _, text = each.partition("=")
        assert key not in config or str(config[key]).lower() in (text, str(value).lower())


def test_no_word_is_a_key_of_the_root() -> None:
    root = {key for key in settings_to_config(compose_settings([])) if key != "strategy_name"}
    assert not root & {*_KEY_OF, *_SPECIAL}
    assert not set(_KEY_OF) & set(_SPECIAL)


def test_all_unknown_keys_are_answered_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        compose_settings(["epochs=3", "batch=16", "nothing_like_it=1"])
    first, second, third = str(caught.value).splitlines()
    assert first == "unknown key epochs; write trainer.max_epochs=3"
    assert second == "unknown key batch; write batch_size=16"
    assert third.startswith("unknown key nothing_like_it; the keys of the root are name,")


def test_a_key_that_these_settings_lack_is_no_answer() -> None:
    with pytest.raises(SettingsError, match="unknown key rank; the keys of the root"):
        compose_settings(["strategy=full", "rank=4"])


def test_what_a_shell_would_change_is_quoted() -> None:
    assert in_our_words("output", "my runs") == "runs_dir='\"my runs\"'"
