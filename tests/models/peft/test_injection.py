"""peft's layers land exactly where they are meant to, or nothing is built."""

import os
import warnings

import pytest
import torch
from peft import BOFTConfig, LoraConfig, PeftConfig
from peft.tuners.tuners_utils import BaseTunerLayer

from peftrec.errors import SettingsError
from peftrec.models.peft.injection import inject
from peftrec.models.peft.methods import build_config
from peftrec.models.towers.tower import Tower
from small_models import NUM_BLOCKS, SMALL_PAIRS

PAIR = SMALL_PAIRS["text_and_image"]


def text_tower(*, with_weights: bool = True) -> Tower:
    (tower,) = SMALL_PAIRS["text_only"].load(seed=1, with_weights=with_weights).present().values()
    return tower


def layers(tower: Tower) -> set[str]:
    return {name for name, part in tower.encoder.named_modules() if isinstance(part, BaseTunerLayer)}


def test_paths_that_are_not_there_are_an_error_though_others_match() -> None:
    """peft itself is content when one of its targets matches."""
    tower = text_tower()
    targets = [*tower.site_paths("query"), "encoder.layer.9.attention.self.query"]
    with pytest.raises(SettingsError, match=r"strategy\.sites: peft adapted 4 layers of the text tower, missed enc.*9"):
        inject(tower, LoraConfig(target_modules=targets))


def test_layers_besides_those_that_are_meant_are_an_error() -> None:
    """A short name matches more than one path."""
    with pytest.raises(SettingsError, match=r"missed query and took encoder\.layer\.0\.attention\.self\.query"):
        inject(text_tower(), LoraConfig(target_modules=["query"]))


def test_a_kind_of_layer_that_peft_cannot_adapt_is_an_error() -> None:
    tower = text_tower()
    with pytest.raises(SettingsError, match=r"strategy: peft cannot put LORA into the text tower: .*LayerNorm"):
        inject(tower, LoraConfig(target_modules=tower.site_paths("ffn_norm")))


def test_what_peft_would_ignore_is_an_error() -> None:
    tower = text_tower()
    config = LoraConfig(target_modules=tower.site_paths("query"), rank_pattern={"nowhere": 2})
    with pytest.raises(SettingsError, match=r"rank_pattern keys did not match .*nowhere"):
        inject(tower, config)
    config = BOFTConfig(target_modules=text_tower().site_paths("query"), boft_n_butterfly_factor=2)
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="boft_n_butterfly_factor to 1"):
            inject(text_tower(), config)


@pytest.mark.parametrize("method", ["BOFT", "LN_TUNING", "SHIRA"])
def test_what_a_user_need_not_know_is_not_said(method: str) -> None:
    tower = text_tower()
    sites = ("ffn_norm",) if method == "LN_TUNING" else ("query",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inject(tower, build_config(method, {"r": 4} if method == "SHIRA" else {}, targets=tower.paths_of(sites)))
    assert len(layers(tower)) == NUM_BLOCKS


def test_the_environment_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """BOFT's compiler of C would be the one of torch.compile as well."""
    monkeypatch.setenv("CXX", "g++-of-mine")
    monkeypatch.delenv("CC", raising=False)
    before = dict(os.environ)
    tower = text_tower()
    inject(tower, build_config("BOFT", {}, targets=tower.site_paths("query")))
    assert dict(os.environ) == before


@pytest.mark.parametrize("method", ["LORA", "VERA", "FOURIERFT", "BOFT", "OFT", "LOKR"])
def test_shapes_are_enough(method: str) -> None:
    """A plan adapts towers that have none but shapes; the counts are the same."""
    counts = []
    for with_weights in (True, False):
        tower = text_tower(with_weights=with_weights)
        inject(tower, build_config(method, {}, targets=tower.site_paths("query")))
        counts.append(sum(parameter.numel() for parameter in tower.parameters() if parameter.requires_grad))
    assert counts[0] == counts[1] > 0


def test_a_method_that_reads_weights_cannot_be_planned() -> None:
    tower = text_tower(with_weights=False)
    config: PeftConfig = build_config("FROD", {}, targets=tower.site_paths("query"))
    with pytest.raises(SettingsError, match="FROD reads the values of the weights that it adapts, and a plan has none"):
        inject(tower, config)
