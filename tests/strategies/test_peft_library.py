"""A peft method by its name and arguments: from yaml and command line to layers, and exact counts of what trains."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError
from peftrec.models.towers.towers import Towers
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import settings_from_config, settings_to_config
from peftrec.strategies.lora import LoRA
from peftrec.strategies.peft_library import PeftLibrary
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedText
from small_models import BASE_SHAPE, SMALL_PAIRS, build_strategy, item_batch

WIDTH, FFN, BLOCKS = 768, 3072, 12
PAIR = SMALL_PAIRS["text_and_image"]


def adapted(strategy: PeftLibrary | LoRA, pair: TowerPair = PAIR, *, with_weights: bool = True) -> Towers:
    torch.manual_seed(0)
    return strategy.adapt(pair.load(seed=1, with_weights=with_weights), embedding_dim=8, num_items=4).towers


def num_trainable(towers: Towers) -> int:
    return sum(parameter.numel() for parameter in towers.parameters() if parameter.requires_grad)


def test_method_and_arguments_come_from_the_command_line_and_go_round() -> None:
    overrides = ["strategy=peft", "strategy.method=HRA", "strategy.arguments.r=4", "strategy.arguments.apply_GS=true"]
    settings = compose_settings([*overrides, "strategy.sites=[query]"])
    assert settings.strategy == PeftLibrary(method="HRA", arguments={"r": 4, "apply_GS": True}, sites=("query",))
    assert settings_from_config(settings_to_config(settings)) == settings


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["strategy.method=LOAR"], 'strategy.method: peft has no method "LOAR"; did you mean LORA'),
        (["strategy.method=PREFIX_TUNING"], "PREFIX_TUNING cannot adapt an encoder: it puts virtual tokens"),
        (["strategy.arguments.lora_alhpa=8"], "LoraConfig has no such argument; did you mean lora_alpha?"),
        (["strategy.feedforward_sites=[ffn_output]"], "ffn_output must be among sites as well"),
        (["strategy.metod=LORA"], "unknown key strategy.metod; did you mean strategy.method?"),
    ],
)
def test_a_mistake_is_found_when_composing(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        compose_settings(["strategy=peft", *overrides])
    assert message in str(refused.value)
    assert "strategy" in str(refused.value)


def test_lora_by_either_name_is_the_same() -> None:
    """`strategy=lora` is short for one of the library's methods."""
    short = adapted(LoRA(rank=4, alpha=8.0, dropout=0.1))
    general = adapted(PeftLibrary(method="LORA", arguments={"r": 4, "lora_alpha": 8, "lora_dropout": 0.1}))
    batch = item_batch(5, PAIR)
    for name, vectors in short.train()(batch).items():
        torch.manual_seed(1)
        expected = short.train()(batch)[name]
        torch.manual_seed(1)
        assert torch.equal(expected, general.train()(batch)[name])
        assert vectors.shape == expected.shape
    assert {name for name, _ in short.named_parameters()} == {name for name, _ in general.named_parameters()}


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks transformers by it
def test_a_tower_is_adapted_as_peft_alone_would() -> None:
    """The same layers with the same values as get_peft_model puts into the same encoder."""
    pair = SMALL_PAIRS["text_only"]
    ours = adapted(PeftLibrary(method="LORA", arguments={"r": 4, "use_dora": True}), pair)
    (tower,) = pair.load(seed=1).present().values()
    torch.manual_seed(0)
    theirs = get_peft_model(tower.encoder, LoraConfig(r=4, use_dora=True, target_modules=["query", "value"]))
    expected = {name.removeprefix("base_model.model."): tensor for name, tensor in theirs.state_dict().items()}
    assert ours.text is not None
    found = ours.text.encoder.state_dict()
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def per_tower(name: str) -> int:
    """Trainable parameters of one base-size tower, each from its formula; q and v are both WIDTH x WIDTH."""
    layers = 2 * BLOCKS
    low_rank = 8 * (WIDTH + WIDTH)
    return {
        "rslora": layers * low_rank,
        "dora": layers * (low_rank + WIDTH),  # and the magnitude of each output
        "adalora": layers * (12 * (WIDTH + WIDTH) + 12),  # P, Q and e at the initial rank
        "ia3": BLOCKS * (WIDTH + WIDTH + FFN),
        "vera": layers * (256 + WIDTH),  # d and b
        "oft": layers * (WIDTH // 32) * (32 * 31 // 2),  # a skew-symmetric matrix a block
        "boft": layers * ((WIDTH // 8) * 8 * 8 + WIDTH),  # whole matrices, and a factor an output
        "ln_tuning": layers * 2 * WIDTH,  # two norms a block, weight and bias
        "fourierft": layers * 1000,
        "loha": layers * 2 * low_rank,
        # 768 = 24 x 32 on either side: one factor 24 x 24, and one 32 x 32, which rank 8 halves
        "lokr": layers * (24 * 24 + 8 * (32 + 32)),
        "peft": layers * low_rank,
    }[name]


def library_files() -> list[Path]:
    files = sorted((config_directory() / "strategy").glob("*.yaml"))
    return [file for file in files if isinstance(build_strategy(file), PeftLibrary)]


@pytest.mark.parametrize("file", library_files(), ids=lambda file: file.stem)
def test_exact_counts_at_base_size(file: Path) -> None:
    strategy = build_strategy(file)
    assert isinstance(strategy, PeftLibrary)
    assert num_trainable(adapted(strategy, BASE_SHAPE, with_weights=False)) == 2 * per_tower(file.stem)


@pytest.mark.parametrize(("shape", "published"), [((768, 12), 294_912), ((1024, 24), 786_432)])
def test_low_rank_counts_of_roberta_are_the_published_ones(shape: tuple[int, int], published: int) -> None:
    """Query and value at rank 8, for RoBERTa-base and RoBERTa-large."""
    width, blocks = shape
    sizes = {"hidden_size": width, "num_hidden_layers": blocks, "num_attention_heads": width // 64}
    architecture = {"model_type": "roberta", "intermediate_size": 4 * width, **sizes}
    pair = TowerPair(text=PretrainedText(architecture=architecture, random_init=True), image=None)
    assert num_trainable(adapted(LoRA(rank=8), pair, with_weights=False)) == published
    general = PeftLibrary(method="LORA", arguments={"r": 8})
    assert num_trainable(adapted(general, pair, with_weights=False)) == published


def test_ia3_scales_outputs_of_keys_and_values_and_inputs_of_the_feed_forward_output() -> None:
    strategy = build_strategy(config_directory() / "strategy" / "ia3.yaml")
    assert isinstance(strategy, PeftLibrary)
    (tower,) = SMALL_PAIRS["text_only"].load(seed=1).present().values()
    towers = adapted(strategy, SMALL_PAIRS["text_only"])
    assert towers.text is not None
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for site in strategy.sites:
            for path in tower.site_paths(site):
                plain, layer = tower.encoder.get_submodule(path), towers.text.encoder.get_submodule(path)
                factor = layer.ia3_l["default"]  # type: ignore[index, union-attr]
                factor.uniform_(0.5, 1.5, generator=generator)
                is_input = site in strategy.feedforward_sites
                plain.weight.mul_(factor.view(1, -1) if is_input else factor.view(-1, 1))  # type: ignore[union-attr, operator]
                if not is_input:
                    plain.bias.mul_(factor.view(-1))  # type: ignore[union-attr, operator]
        batch = item_batch(5, SMALL_PAIRS["text_only"])
        expected = tower.eval()(batch.content("text"))
        torch.testing.assert_close(towers.eval()(batch)["text"], expected, rtol=0, atol=1e-5)
