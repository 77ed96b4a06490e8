"""Modules without values: shared tensors shared, nothing allocated. That they are the run's own: `test_step.py`."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from peftrec.errors import SettingsError
from peftrec.planning.fake_tensors import build_fake_run, give_storage, require_configs
from peftrec.planning.target import find_target
from small_plans import settings_of


@pytest.mark.parametrize("strategy", ["vera", "iisan_cached"])  # one shares tensors, one keeps no towers
def test_all_tensors_are_fake_and_each_has_its_fate(strategy: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, strategy)
    module = build_fake_run(settings, find_target(settings), num_items=50, sequence_length=10).module
    assert {id(role.parameter) for role in module.parameter_roles} == {id(each) for each in module.parameters()}
    assert all(isinstance(tensor, FakeTensor) for tensor in (*module.parameters(), *module.buffers()))


def test_shared_tensors_stay_shared() -> None:
    with torch.device("meta"):
        module = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    module[1].weight = module[0].weight
    old = module[0].weight
    given = give_storage(module, FakeTensorMode())
    assert module[0].weight is module[1].weight is given[id(old)]
    assert len(given) == 3
    assert {parameter.device.type for parameter in module.parameters()} == {"cpu"}


def test_a_config_that_is_not_at_hand_is_one_error_with_the_way_out(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    text = {"architecture": None, "random_init": False, "checkpoint": str(tmp_path / "none")}
    assert settings.towers.text is not None
    settings = replace(settings, towers=replace(settings.towers, text=replace(settings.towers.text, **text)))
    with pytest.raises(SettingsError) as raised:
        require_configs(settings)
    assert str(raised.value).startswith("towers.text.checkpoint: ")
    assert "towers=bert_vit_base_random" in str(raised.value)
    assert "towers.text.architecture" in str(raised.value)
    require_configs(replace(settings, strategy=settings_of(tmp_path, "id").strategy))  # reads no towers
