"""Everything that the installed peft offers either trains an encoder by all of our laws, or says why it cannot."""

from typing import Any

import pytest
import torch
from peft import LoraConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer

from peftrec.errors import SettingsError
from peftrec.models.item_encoder import ItemEncoder
from peftrec.models.peft.methods import build_config, refusal, starts_at_pretrained, trainable_methods
from peftrec.models.towers.towers import Towers
from peftrec.strategies.peft_library import PeftLibrary
from peftrec.testing.small_towers import NUM_BLOCKS, SMALL_PAIRS, item_batch, without_dropout
from peftrec.testing.steps import draws

PAIR, NUM_ITEMS = without_dropout(SMALL_PAIRS["text_and_image"]), 8
METHODS = sorted(kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING)
ARGUMENTS: dict[str, dict[str, Any]] = {  # where peft's defaults do not fit towers this small
    "C3A": {"block_size": 16},
    "MISS": {"r": 8},
    "ROAD": {"group_size": 8},
    "SHIRA": {"r": 4},
    "VBLORA": {"vector_length": 16, "num_vectors": 16},
    "WAVEFT": {"n_frequency": 100},
}
SITES = {"LN_TUNING": ("attention_norm", "ffn_norm")}
CANNOT = set(METHODS) & {
    "ADAPTION_PROMPT",
    "CARTRIDGE",
    "CPT",
    "MULTITASK_PROMPT_TUNING",
    "POLY",
    "PREFIX_TUNING",
    "PROMPT_TUNING",
    "P_TUNING",
    "SHADOW",
    "TRAINABLE_TOKENS",
    "XLORA",
}


def strategy_of(method: str) -> PeftLibrary:
    return PeftLibrary(method=method, arguments=ARGUMENTS.get(method, {}), sites=SITES.get(method, ("query", "value")))


def lively_towers() -> Towers:
    """Small towers whose norms and biases do something; as initialised, a factor of a bias gets no gradient."""
    towers = PAIR.load(seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in towers.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return towers.eval()


def adapt(strategy: PeftLibrary, *, seed: int = 0) -> ItemEncoder:
    towers = lively_towers()
    torch.manual_seed(seed)
    return strategy.adapt(towers, embedding_dim=8, num_items=NUM_ITEMS)


def trainable(encoder: ItemEncoder) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in encoder.named_parameters() if p.requires_grad}


def train(encoder: ItemEncoder, *, num_steps: int = 3) -> None:
    optimizer = torch.optim.Adam([p for p in encoder.parameters() if p.requires_grad], lr=1e-2)
    batch = item_batch(NUM_ITEMS, PAIR)
    for step in range(num_steps):
        torch.manual_seed(step)
        encoder(batch).square().sum().backward()
        assert {n for n, p in encoder.named_parameters() if p.grad is not None} == set(trainable(encoder))
        optimizer.step()
        optimizer.zero_grad()


def test_the_library_is_sorted_into_those_that_train_and_those_that_cannot() -> None:
    assert {method for method in METHODS if refusal(method)} == CANNOT
    assert sorted({*trainable_methods(), *CANNOT}) == METHODS


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch's, of FROD's product
@pytest.mark.parametrize("method", sorted(set(METHODS) - CANNOT))
def test_a_method_adapts_every_block_and_trains_what_it_declares_and_the_seed_and_that_are_its_state(
    method: str,
) -> None:
    """Shared projections, indices and masks come back from the seed, so that a checkpoint need not hold them."""
    strategy = strategy_of(method)
    encoder = adapt(strategy).eval()
    for name, tower in PAIR.load(seed=1).present().items():
        adapted = encoder.towers.present()[name].encoder.named_modules()
        found = {path for path, module in adapted if isinstance(module, BaseTunerLayer)}
        assert found == set(tower.paths_of(strategy.sites))
        assert len(found) == 2 * NUM_BLOCKS
    batch = item_batch(NUM_ITEMS, PAIR)
    untouched, at_start = lively_towers()(batch), encoder.towers(batch)
    assert draws(encoder.train(), batch) == strategy.draws_in_training
    is_identity = all(torch.equal(at_start[name], vectors) for name, vectors in untouched.items())
    assert is_identity == strategy.identity_at_start
    before = trainable(encoder)
    train(encoder.train())
    assert all(not torch.equal(tensor, before[name]) for name, tensor in trainable(encoder).items())
    restored = adapt(strategy)
    restored.load_state_dict(trainable(encoder), strict=False)
    with torch.no_grad():
        assert torch.equal(encoder.eval()(batch), restored.eval()(batch))


@pytest.mark.parametrize("method", sorted(CANNOT))
def test_a_method_that_cannot_work_says_why_before_anything_is_built(method: str) -> None:
    with pytest.raises(SettingsError, match=rf"strategy\.method: {method} cannot adapt an encoder: it .*LORA"):
        PeftLibrary(method=method)


def test_a_method_that_there_is_not_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no method \"fourier\"; did you mean FOURIERFT\? .*ADALORA, .*VERA"):
        PeftLibrary(method="fourier")


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("LORA", {"rr": 4}, r"strategy\.arguments\.rr: LoraConfig has no such argument; did you mean r\?"),
        ("LORA", {"zzzzzz": 4}, r"arguments\.zzzzzz: LoraConfig has no such argument; it has r, lora_alpha"),
        ("LORA", {"r": "four"}, r'strategy\.arguments\.r: expected an integer, got "four"'),
        ("LORA", {"r": 4.0}, r"strategy\.arguments\.r: expected an integer"),
        ("VERA", {"r": 0}, r"strategy: peft cannot put VERA into the image tower: .*zero"),
        ("LORA", {"target_modules": ["query"]}, r"arguments\.target_modules: strategy\.sites names the layers"),
        ("LORA", {"layers_to_transform": [0]}, r"arguments\.layers_to_transform: strategy\.sites .*every block"),
        ("LORA", {"modules_to_save": ["pooler"]}, r"modules_to_save: besides the layers at strategy\.sites nothing"),
        ("LORA", {"init_lora_weights": "eva"}, r"init_lora_weights: 'eva' cannot work here: it initialises from data"),
        ("LORA", {"kasa_config": {}}, r"kasa_config: it needs calls or terms of the loss"),
        ("LORA", {"task_type": "SEQ_CLS"}, r"arguments\.task_type: LoraConfig has no such argument"),
        ("ADALORA", {"r": 4}, r"strategy\.arguments: ADALORA refuses them: .*`r` is not used in AdaLora"),
        ("ADALORA", {"total_step": 9}, r"total_step: the run's own number of steps is taken"),
        ("ADAMSS", {"use_asa": True}, r"use_asa: it needs calls"),
        ("OFT", {"r": 4, "oft_block_size": 8}, r"strategy\.arguments: OFT refuses them"),
    ],
)
def test_arguments_are_checked_against_peft_s_own(method: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        adapt(PeftLibrary(method=method, arguments=arguments))


def test_arguments_become_peft_s_own_config() -> None:
    config = build_config("LORA", {"r": 4, "rank_pattern": {"value": 2}, "use_rslora": True}, targets=["a.query"])
    assert config == LoraConfig(r=4, rank_pattern={"value": 2}, use_rslora=True, target_modules=["a.query"])


def test_only_ia3_takes_feedforward_sites() -> None:
    config: Any = build_config("IA3", {}, targets=["a", "b"], feedforward=["b"])
    assert config.feedforward_modules == {"b"}
    with pytest.raises(SettingsError, match=r"strategy\.feedforward_sites: LORA scales no inputs"):
        build_config("LORA", {}, targets=["a", "b"], feedforward=["b"])


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        ("LORA", {}, True),
        ("LORA", {"init_lora_weights": False}, False),
        ("LORA", {"init_lora_weights": "pissa"}, False),
        ("LORA", {"use_dora": True}, True),
        ("FOURIERFT", {}, False),
        ("FOURIERFT", {"init_weights": True}, True),
        ("LN_TUNING", {}, True),
        ("HRA", {}, False),
    ],
)
def test_what_starts_at_the_pretrained_weights(method: str, arguments: dict[str, Any], expected: bool) -> None:
    assert starts_at_pretrained(build_config(method, arguments, targets=["a"])) == expected
