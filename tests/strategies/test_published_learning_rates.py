"""`learning_rates/paper` against the grouping of the published code: by name, parameter for parameter, at its shape.

`published_rate` is that code's (GAIR-Lab/IISAN at 67f5c1f, run.py, where the optimizer is built), line by line. The
counts by rate were taken from its models (benchmarks/published) under that grouping.
"""

import re
from collections import Counter

import pytest

from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError
from peftrec.models.recommender import Recommender
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import LearningRates
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from peftrec.training.parameter_groups import ParameterRole, PretrainedSnapshot, parameter_roles
from peftrec.user_encoders.sasrec import SASRec
from small_models import BASE_SHAPE

OWN_TO_PUBLISHED = (
    # transformers renamed ViT's layers; the published code ran with 4.20.1
    (r"mlp\.fc1", "intermediate.dense"),
    (r"mlp\.fc2", "output.dense"),
    (r"^item_encoder\.towers\.text\.encoder\.", "mm_encoder.bert_encoder.text_encoders.title.bert_model."),
    (r"^item_encoder\.towers\.image\.encoder\.", "mm_encoder.cv_encoder.image_net.vit."),
    (r"^item_encoder\.head\.project\.image\.", "mm_encoder.cv_encoder.image_net.classifier."),
    (r"^item_encoder\.head\.project\.text\.", "mm_encoder.bert_encoder.text_encoders.title.fc."),
    (r"^item_encoder\.(head|network)\.fusion\.", "com_dense."),
    (r"^item_encoder\.network\.alignment\.", "mm_encoder.down_project_list."),
    (r"^item_encoder\.network\.branches\.", "mm_encoder."),
    (r"^mm_encoder\.image\.blocks\.", "mm_encoder.cv_adapter_list."),
    (r"^mm_encoder\.text\.blocks\.", "mm_encoder.bert_adapter_list."),
    (r"^mm_encoder\.inter\.blocks\.", "mm_encoder.mm_adapter_list."),
    (r"^mm_encoder\.image\.gates", "mm_encoder.side_gate_params_cv"),
    (r"^mm_encoder\.text\.gates", "mm_encoder.side_gate_params_text"),
    (r"^mm_encoder\.inter\.gates", "mm_encoder.side_gate_params_mm"),
    (r"^mm_encoder\.image\.out\.", "mm_encoder.fc_cv."),
    (r"^mm_encoder\.text\.out\.", "mm_encoder.fc_bert."),
    (r"^mm_encoder\.inter\.out\.", "mm_encoder.fc_mm."),
    (r"^mm_encoder\.image\.project\.", "mm_encoder.cv_pre_fc."),
    (r"^mm_encoder\.text\.project\.", "mm_encoder.bert_pre_fc."),
    (r"^mm_encoder\.inter\.project\.", "mm_encoder.fc_mm_down."),
    (r"(down|up)\.(weight|bias)$", r"fc_\1.\2"),
)

IISAN_RATES = {"text": 5e-5, "image": 1e-4, "recsys": 2e-4, "adapter_cv": 1e-4, "adapter_text": 1e-4}
ADDED_RATES = {**IISAN_RATES, "adapter_cv": 4e-4, "adapter_text": 4e-4}
PUBLISHED = {
    "iisan": (IISAN_RATES, {5e-5: 590_592, 1e-4: 2_672_455, 2e-4: 850_830}),
    "iisan_cached": (IISAN_RATES, {5e-5: 590_592, 1e-4: 2_672_455, 2e-4: 850_830}),
    "adapter": (ADDED_RATES, {4e-4: 4_758_528, 2e-4: 206_912}),
    "lora_published": (ADDED_RATES, {5e-5: 18_432, 1e-4: 18_432, 4e-4: 589_824, 2e-4: 206_912}),
    # without the 768 of BERT's pooler, which nothing reads and which the published code trains
    "bitfit": (ADDED_RATES, {5e-5: 102_912 - 768, 1e-4: 102_912, 2e-4: 206_912}),
    "full": ({**IISAN_RATES, "recsys": 1e-4}, {5e-5: 108_891_648, 1e-4: 85_798_656 + 206_912}),
}
"""Strategy to the rates of its published script, and its trainable parameters by rate in the published models."""


def published_group(name: str) -> str:
    if "cv" in name:
        if ("fc" in name and "fc_" not in name) or "classifier" in name or "decoder_pred" in name:
            return "recsys"
        return "image" if "adapter" not in name and "lora" not in name else "adapter_cv"
    if "bert" in name:
        if "fc" in name and "fc_" not in name:
            return "recsys"
        return "text" if "adapter" not in name and "lora" not in name else "adapter_text"
    return "adapter_cv" if "mm_adapter" in name else "recsys"


def published_name(own: str) -> str:
    for pattern, replacement in OWN_TO_PUBLISHED:
        own = re.sub(pattern, replacement, own)
    return own


def trained(strategy: str, pair: TowerPair) -> tuple[list[ParameterRole], LearningRates]:
    settings = compose_settings(
        ["experiment=paper", "data.root=somewhere", "towers=bert_vit_base_random", f"strategy={strategy}"]
    )
    towers = pair.load(seed=0, with_weights=False)
    snapshot = PretrainedSnapshot.of(towers)
    encoder = settings.strategy.adapt(towers, embedding_dim=64, num_items=20)
    recommender = Recommender(encoder, SASRec().build(dim=64, sequence_length=10))
    roles = parameter_roles(recommender, encoder, snapshot, finer=settings.learning_rates.finer)
    return [role for role in roles if role.group is not None], settings.learning_rates


@pytest.mark.parametrize("strategy", PUBLISHED)
def test_every_parameter_has_the_published_rate(strategy: str) -> None:
    rates, counts = PUBLISHED[strategy]
    roles, own_rates = trained(strategy, BASE_SHAPE)
    found: Counter[float] = Counter()
    for role in roles:
        rate = own_rates.by_group()[role.group]  # type: ignore[index]
        assert rate == rates[published_group(published_name(role.name))], role.name
        found[rate] += role.parameter.numel()
    assert dict(found) == counts


def test_versa_has_the_published_rates_alignment_included() -> None:
    wide_text = TowerPair(
        text=PretrainedText(
            architecture={"model_type": "bert", "hidden_size": 96, "num_attention_heads": 4, "num_hidden_layers": 6},
            random_init=True,
        ),
        image=PretrainedImage(
            architecture={"model_type": "vit", "hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 4},
            random_init=True,
        ),
    )
    for strategy in ("iisan_versa", "iisan_versa_cached"):
        roles, own_rates = trained(strategy, wide_text)
        assert any(".alignment." in role.name for role in roles)
        for role in roles:
            rate = own_rates.by_group()[role.group]  # type: ignore[index]
            assert rate == IISAN_RATES[published_group(published_name(role.name))], role.name


def test_every_published_rate_has_its_test() -> None:
    files = {path.stem for path in (config_directory() / "learning_rates" / "paper").glob("*.yaml")}
    assert files == {*PUBLISHED, "lora", "iisan_versa", "iisan_versa_cached"}  # lora is lora_published without biases


def test_a_finer_group_that_the_strategy_does_not_have_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"learning_rates\.finer\.text_gate: strategy=iisan has no such group; it"):
        compose_settings(["strategy=iisan", "+learning_rates.finer.text_gate=1e-4"])
    with pytest.raises(SettingsError, match="strategy=full has no such group; it has none; leave"):
        compose_settings(["strategy=full", "+learning_rates.finer.text_gates=1e-4"])


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(SettingsError, match=r"learning_rates\.finer\.text_gates: expected a value greater than 0"):
        compose_settings(["strategy=iisan", "+learning_rates.finer.text_gates=0.0"])
