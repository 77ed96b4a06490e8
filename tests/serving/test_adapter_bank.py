"""Many adapters on one tower: each answers as if it were alone, and the tower's tensors are there once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import peft
import pytest
import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTunerLayer

from peftrec.errors import CheckpointError, UserError
from peftrec.models.towers.tower import Tower
from peftrec.serving.adapter_bank import AdapterBank
from peftrec.training.parameter_groups import storage_key, tensor_bytes
from small_exports import adapted, inputs_for, lora, site_paths, trained
from small_families import NUM_BLOCKS, WIDTH, Saved, save_checkpoint

FLOAT_BYTES = 4
RANK = 2
CONFIGS: dict[str, Callable[[Tower], PeftConfig]] = {
    "toys": lambda tower: lora(tower, r=RANK),
    "tools": lambda tower: lora(tower, r=RANK),
    "books": lambda tower: peft.IA3Config(
        target_modules=site_paths(tower), feedforward_modules=site_paths(tower, ("value",))
    ),
}
"""Two methods stand side by side."""


@pytest.fixture(scope="module", params=["bert", "vit"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return save_checkpoint(tmp_path_factory.mktemp("base") / request.param, request.param)


@pytest.fixture(scope="module")
def alone(saved: Saved) -> dict[str, Tower]:
    """The towers as training left them."""
    return {
        name: adapted(saved.load(), make(saved.load()), seed=place)
        for place, (name, make) in enumerate(CONFIGS.items())
    }


@pytest.fixture(scope="module")
def folders(saved: Saved, alone: dict[str, Tower], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("adapters")
    for name, tower in alone.items():
        trained(saved, tower).write(place / name, inputs_for(saved), merges=False)
    return {name: place / name for name in alone}


@pytest.fixture(scope="module")
def bank(saved: Saved, folders: dict[str, Path]) -> AdapterBank:
    return AdapterBank(saved.load(), folders)


def test_each_adapter_answers_as_if_alone(bank: AdapterBank, saved: Saved, alone: dict[str, Tower]) -> None:
    inputs = inputs_for(saved)
    assert bank.names == tuple(CONFIGS)
    for _ in range(2):  # and again after the others
        for name, tower in alone.items():
            assert torch.allclose(bank.encode(inputs, name), tower(inputs), atol=1e-6)
        assert torch.equal(bank.encode(inputs, None), saved.load()(inputs))


def test_a_mixed_batch_keeps_the_order_of_its_items(bank: AdapterBank, saved: Saved, alone: dict[str, Tower]) -> None:
    inputs = inputs_for(saved, num_items=7)
    names = ["tools", None, "toys", "tools", "books", None, "toys"]
    found = bank.encode_mixed(inputs, names)
    every = {name: (alone[name] if name else saved.load())(inputs) for name in set(names)}
    expected = torch.stack([every[name][row] for row, name in enumerate(names)])
    assert torch.allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match="3 names"):
        bank.encode_mixed(inputs, names[:3])


def test_memory_is_one_tower_and_the_small_weights(saved: Saved, folders: dict[str, Path]) -> None:
    """Exactly: the tower's bytes, and 4 x 2 (A and B) x 2 (query and value) x blocks x width x rank an adapter."""
    tower = saved.load()
    alone = tensor_bytes((*tower.parameters(), *tower.buffers()))
    bank = AdapterBank(tower)
    assert bank.num_bytes == alone
    for count in range(1, 4):
        bank.add(f"adapter {count}", folders["toys"])
        assert bank.num_bytes == alone + count * FLOAT_BYTES * 2 * 2 * NUM_BLOCKS * WIDTH * RANK


def test_base_tensors_are_the_same_for_all(bank: AdapterBank) -> None:
    places = {storage_key(parameter) for parameter in bank.tower.parameters()}
    for name in bank.names:
        inside = {storage_key(parameter) for parameter in bank._adapted[name].parameters()}
        assert places < inside


def test_modules_without_an_adapter_below_are_the_same_objects(bank: AdapterBank) -> None:
    own = dict(bank.tower.named_modules())
    for name in bank.names:
        for path, module in bank._adapted[name].named_modules():
            is_plain = not any(isinstance(below, BaseTunerLayer) for below in module.modules())
            if is_plain and path in own:
                assert module is own[path]


def test_requests_may_run_in_threads(bank: AdapterBank, saved: Saved) -> None:
    inputs = inputs_for(saved)
    expected = {name: bank.encode(inputs, name) for name in (*bank.names, None)}
    requests = [*expected] * 12
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(lambda name: bank.encode(inputs, name), requests))
    assert all(torch.equal(answer, expected[name]) for name, answer in zip(requests, answers, strict=True))


def test_an_unknown_adapter_is_named_with_the_nearest(bank: AdapterBank, saved: Saved) -> None:
    with pytest.raises(UserError, match="adapter 'toy' is not loaded; did you mean toys"):
        bank.encode(inputs_for(saved), "toy")
    with pytest.raises(UserError, match="there are toys, tools, books"):
        bank.encode_mixed(inputs_for(saved), ["zzz"] * 6)
    with pytest.raises(UserError, match="there are none"):
        AdapterBank(saved.load()).encode(inputs_for(saved), "toys")


def test_adapters_come_and_go(saved: Saved, folders: dict[str, Path]) -> None:
    bank = AdapterBank(saved.load(), folders)
    inputs = inputs_for(saved)
    expected = bank.encode(inputs, "toys")
    with pytest.raises(UserError, match="'toys' is loaded already"):
        bank.add("toys", folders["tools"])
    bank.remove("toys")
    assert bank.names == ("tools", "books")
    with pytest.raises(UserError, match="'toys' is not loaded"):
        bank.remove("toys")
    bank.add("toys", folders["toys"])
    assert torch.equal(bank.encode(inputs, "toys"), expected)


def test_an_adapter_of_another_tower_is_refused(saved: Saved, folders: dict[str, Path]) -> None:
    other = saved.load()
    with torch.no_grad():
        next(other.parameters()).mul_(1.5)
    with pytest.raises(CheckpointError, match="toys: the adapter was trained on another tower"):
        AdapterBank(other, {"toys": folders["toys"]})


def test_gradients_are_not_kept(bank: AdapterBank, saved: Saved) -> None:
    assert not any(parameter.requires_grad for parameter in bank.tower.parameters())
    assert not bank.encode(inputs_for(saved), "toys").requires_grad
