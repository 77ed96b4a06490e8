"""Towers beside `text` and `image`: how they are said, what they decide, what is computed of them."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peftrec.config.roles import Role, roles_of
from peftrec.errors import SettingsError
from peftrec.models.towers.towers import Towers
from peftrec.results.record import read_record
from peftrec.results.report.commands import command_of
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings, settings_from_config, settings_to_config
from peftrec.settings.run_identity import deciding_config, part_modules
from peftrec.testing.small_towers import IMAGE, NUM_BLOCKS, TEXT, WIDTH, item_batch
from peftrec.testing.steps import DIM, NUM_ITEMS, build, copies, moved, score, small, train, trainable
from peftrec.testing.strategy_trial import StrategyTrial
from peftrec.towers.pair import NamedText, TowerPair
from peftrec.towers.ready_features import ReadyFeatures
from peftrec.training.run.pipeline import evaluate_run, train_run
from small_runs import small_config, small_settings

pytestmark = pytest.mark.integration

SECOND = NamedText(
    architecture={**(TEXT.architecture or {}), "hidden_act": "relu"}, random_init=True, pooling="mean", modality="text"
)
THREE = TowerPair(text=TEXT, image=IMAGE, others={"second_text": SECOND})
WORDS = ["towers.second_text.modality=text", "towers.second_text.checkpoint=package:tiny_towers/bert"]


def deciding(settings: Settings) -> dict[str, Any]:
    return deciding_config(settings_to_config(settings), roles_of(settings))


def test_a_tower_is_said_by_its_name() -> None:
    settings = compose_settings([*WORDS, "towers.audio.file=audio.npy", "learning_rates.second_text=2e-3"])
    assert settings.towers.names == ("image", "text", "audio", "second_text")
    assert settings.towers.others["audio"] == ReadyFeatures(file="audio.npy")
    assert settings.learning_rates.others == {"second_text": 2e-3}
    config = settings_to_config(settings)
    assert config["towers"]["audio"] == {"file": "audio.npy", "missing": "error"}  # type: ignore[index, call-overload]
    assert settings_from_config(json.loads(json.dumps(config))) == settings
    assert roles_of(settings)["towers.second_text.checkpoint"] == roles_of(settings)["towers.audio.file"] == Role.PLACE
    assert "peftrec.towers.ready_features" in set(part_modules(settings.towers))


def test_null_leaves_any_tower_out() -> None:
    assert compose_settings([*WORDS, "towers.image=null"]).towers.names == ("text", "second_text")
    without = compose_settings([*WORDS, "towers.second_text=null"])
    assert deciding(without) == deciding(compose_settings([]))


@pytest.mark.parametrize("strategy", ["iisan_cached", "iisan_versa"])
def test_two_towers_alone_add_no_key(strategy: str) -> None:
    """What a run of two towers asks is what it asked before there could be more, so that its name stays."""
    asked = deciding(compose_settings([f"strategy={strategy}"]))
    assert list(asked["towers"]) == ["text", "image"]
    assert list(asked["learning_rates"]) == [
        "text",
        "image",
        "introduced",
        "recommender",
        "warmup_steps",
        "decay",
        "finer",
    ]
    assert not any("modality" in tower for tower in asked["towers"].values())
    assert "others" not in asked["strategy"]


def test_random_towers_of_one_architecture_are_not_the_same() -> None:
    """And those of runs of two have the weights that they had: by the run's seed alone."""
    towers = (
        replace(THREE, others={"second": NamedText(modality="text", architecture=TEXT.architecture, random_init=True)})
        .load(seed=3)
        .present()
    )
    first, second, again = (
        tower.state_dict() for tower in (towers["text"], towers["second"], TEXT.load("text", seed=3))
    )
    matrices = [key for key, tensor in first.items() if tensor.ndim == 2]
    assert matrices
    assert not any(torch.equal(first[key], second[key]) for key in matrices)
    assert all(torch.equal(first[key], again[key]) for key in first)
    hashes = [TEXT.weights_hash(name, seed=3) for name in ("text", "image", "second", "third")]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_the_order_in_which_towers_are_said_decides_nothing() -> None:
    more = ["towers.audio.file=audio.npy"]
    one, other = compose_settings([*WORDS, *more]), compose_settings([*more, *WORDS])
    assert one.towers.names == other.towers.names
    assert deciding(one) == deciding(other)


@pytest.mark.parametrize("name", ["text2", "text_2", "image_b", "my_text", "audio"])
def test_null_leaves_out_a_tower_whatever_it_is_called(name: str) -> None:
    there = f"towers.{name}.file=a.npy"
    assert name in compose_settings([there]).towers.names
    assert compose_settings([there, f"towers.{name}=null"]) == compose_settings([])


@pytest.mark.parametrize("name", ["texts", "imge", "imag", "Text"])
def test_a_name_that_may_be_a_slip_is_asked_about_and_taken_away_as_a_word(name: str) -> None:
    there = f"towers.{name}.file=a.npy"
    with pytest.raises(SettingsError, match=rf"^unknown key towers\.{name}; did you mean towers\.(text|image)\?$"):
        compose_settings([there, f"towers.{name}=null"])
    assert compose_settings([there, f"~towers.{name}"]) == compose_settings([])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["towers.second.checkpoint=a"], r"towers\.second: say what it is by towers\.second\.modality=text or .*file="),
        (
            ["towers.clip.modality=video", "towers.clip.checkpoint=a"],
            r'towers\.clip\.modality: expected text or image, got "video"; .*features.*: towers\.clip\.file=PATH',
        ),
        (["towers.second.modality=txt"], r'expected text or image, got "txt"; did you mean text\?$'),
        (["towers.texst.max_tokens=3"], r"or did you mean towers\.text\?"),
        (["towers.imge=null"], r"unknown key towers\.imge; did you mean towers\.image\?"),
        (["towers.more=3"], r"unknown key towers\.more"),
        (
            [*WORDS, "towers.second_text.file=a"],
            r"unknown key towers\.second_text\.file; the keys of ",
        ),
        (["towers.recommender.file=a"], r"towers\.recommender: this name stands for something else"),
        (["learning_rates.second_text=1e-3"], r"unknown key learning_rates\.second_text"),
        ([*WORDS, "learning_rates.second_text=0"], r"learning_rates\.second_text: expected a value greater than 0"),
        (["strategy=iisan_versa", "strategy.text.bottleneck=3"], r"its keys are text_layers and text_bottleneck"),
        ([*WORDS, "strategy=iisan_versa", "strategy.second_text.layer=3"], r"did you mean .*second_text\.layers"),
        (
            [*WORDS, "towers.second_text.weights=int8", "strategy=full"],
            r"towers\.second_text\.weights=int8: .*",
        ),
        (
            [*WORDS, "strategy=iisan", "learning_rates.finer.audio_gates=1e-3"],
            r"it has .*inter_gates.*second_text_output, second_text_gates",
        ),
    ],
)
def test_a_mistake_is_one_line_with_a_remedy(words: list[str], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as raised:
        compose_settings(words)
    assert "\n" not in str(raised.value)


def test_a_name_that_torch_has_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"towers\.keys: .* choose another"):
        Towers(keys=None)


def test_a_tower_trains_at_its_own_rate_or_that_of_what_it_reads() -> None:
    groups = (
        compose_settings([*WORDS, "learning_rates.text=3e-4"]),
        compose_settings([*WORDS, "learning_rates.second_text=7e-4"]),
    )
    rates = [each.learning_rates.by_group(each.towers.readers)["second_text"] for each in groups]
    assert rates == [3e-4, 7e-4]


@pytest.mark.parametrize("strategy", ["full", "lora", "dtl"])
def test_three_towers_train_as_two_do(strategy: str) -> None:
    settings = small(compose_settings([f"strategy={strategy}"]), THREE)
    module = build(settings)
    assert {role.group for role in module.parameter_roles} <= {
        None,
        "text",
        "image",
        "second_text",
        "introduced",
        "recommender",
    }
    before = copies(module)
    train(module, settings)
    assert moved(module, before) == trainable(module)


@pytest.mark.parametrize("strategy", ["iisan_cached", "iisan_versa_cached", "unipt_cached"])
def test_stored_states_of_three_towers_train_like_live_ones(strategy: str) -> None:
    trial = StrategyTrial(compose_settings([f"strategy={strategy}"]), THREE)
    scores = []
    for states in ("live", "store"):
        settings = trial.with_states(states)
        module = build(settings)
        train(module, settings)
        scores.append(score(module, settings))
    for live, stored in zip(*scores, strict=True):
        torch.testing.assert_close(live, stored, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("strategy", "out"), [("iisan", WIDTH), ("iisan_versa", DIM)])
def test_the_side_network_of_three_towers_has_the_parameters_of_the_equations(strategy: str, out: int) -> None:
    settings = small(compose_settings([f"strategy={strategy}", "strategy.states=live"]), THREE)
    encoder = settings.strategy.adapt(THREE.load(seed=1), embedding_dim=DIM, num_items=NUM_ITEMS)
    steps = 3 if strategy == "iisan" else NUM_BLOCKS + 1  # every second state, or those of so many groups
    blocks = steps * (2 * WIDTH * 64 + WIDTH + 64)
    intra = blocks + steps + WIDTH * out + out + out * DIM + DIM
    inter = blocks + 2 * steps + WIDTH * WIDTH + WIDTH + WIDTH * DIM + DIM
    counted = sum(parameter.numel() for parameter in encoder.network.parameters())  # type: ignore[union-attr]
    assert counted == 3 * intra + inter + 4 * DIM * DIM + DIM


def test_layers_and_bottleneck_of_a_named_tower_are_its_own() -> None:
    words = ["strategy=iisan_versa", *WORDS, "strategy.second_text.bottleneck=5", "strategy.second_text.layers=[1,3]"]
    settings = compose_settings(words)
    assert settings_from_config(settings_to_config(settings)) == settings
    settings = small(settings, replace(THREE, others={"second_text": SECOND}))
    assert settings.strategy.reads({"image": 4, "text": 4, "second_text": 4}).layers["second_text"] == (1, 3)
    encoder = settings.strategy.adapt(settings.towers.load(seed=1), embedding_dim=DIM, num_items=NUM_ITEMS)
    shape = encoder.network.get_parameter("branches.second_text.blocks.0.down.weight").shape  # type: ignore[union-attr]
    assert shape == (5, WIDTH)
    with pytest.raises(SettingsError, match=r"strategy\.second_text: there is no second_text tower; leave it out"):
        settings.strategy.reads({"image": 4, "text": 4})


def test_features_of_any_kind_stand_beside_towers(tmp_path: Path) -> None:
    np.save(tmp_path / "audio.npy", np.ones((NUM_ITEMS, 5), dtype=np.float32))
    pair = replace(THREE, others={"audio": ReadyFeatures(file=str(tmp_path / "audio.npy"))})
    towers = pair.load(seed=1)
    assert towers.widths() == {"image": WIDTH, "text": WIDTH, "audio": 5}
    assert pair.readers == {"image": "image", "text": "text"}
    assert [file.key for file in pair.feature_files()] == ["towers.audio"]
    assert set(item_batch(3, pair).contents) == {"image", "text"}


@pytest.mark.slow
def test_a_run_of_many_towers_is_the_same_live_and_stored(tmp_path: Path) -> None:
    """With features of a third kind beside them, all the way to the test set; and its record says how to train it."""
    np.save(tmp_path / "audio.npy", np.random.default_rng(0).normal(size=(100, 3, 16)).astype(np.float32))
    second = {**small_config(tmp_path)["towers"]["text"], "modality": "text", "pooling": "mean"}
    towers = {"second_text": second, "audio": {"file": str(tmp_path / "audio.npy")}}
    outcomes = [
        train_run(small_settings(tmp_path, name, towers=towers, trainer={"max_epochs": 1}))
        for name in ("iisan_versa", "iisan_versa_cached")
    ]
    live, stored = (read_record(outcome.run_directory) for outcome in outcomes)
    assert live.evaluation == stored.evaluation is not None
    assert list(live.provenance.tower_revisions) == ["image", "text", "audio", "second_text"]
    assert live.provenance.content_hashes["second_text"] == live.provenance.content_hashes["text"]
    words = shlex.split(command_of(stored).text)[2:]
    assert settings_to_config(compose_settings(words)) == stored.config
    assert evaluate_run(outcomes[1].run_directory) == stored.evaluation
