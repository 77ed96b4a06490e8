"""The model's equations, what each part depends on, and its count of parameters."""

import numpy as np
import pytest
import torch
from torch import Tensor

from peftrec.cold_start.heater import ExpertTransformation, Heater

RANK, FEATURES, COLD, WARM, EXPERTS = 6, 7, 9, 5, 3


def small(num_experts: int = EXPERTS, **changes: Tensor) -> Heater:
    """A model with weights large enough to matter; `changes` replace factors or content."""
    draws = torch.Generator().manual_seed(0)
    inputs = {
        "cold_factors": torch.randn(COLD, RANK, generator=draws),
        "warm_factors": torch.randn(WARM, RANK, generator=draws),
        "content": torch.randn(COLD, FEATURES, generator=draws),
    }
    torch.manual_seed(1)
    model = Heater(**{**inputs, **changes}, num_experts=num_experts)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


COLD_IDS, WARM_IDS = torch.tensor([0, 3, 3, 8, 1, 3]), torch.tensor([4, 0, 1, 1, 2, 0])
REPLACED = torch.tensor([True, True, False, False, True, False])
ALL, NONE = torch.ones(6, dtype=torch.bool), torch.zeros(6, dtype=torch.bool)


def literal_tower(rows: np.ndarray, tower: torch.nn.Module) -> np.ndarray:
    """The joint tower with batch statistics, from its parameters."""
    weights = {name: parameter.detach().numpy().astype(np.float64) for name, parameter in tower.named_parameters()}
    hidden = rows @ weights["hidden.weight"].T + weights["hidden.bias"]
    normed = (hidden - hidden.mean(axis=0)) / np.sqrt(hidden.var(axis=0) + 1e-3)
    active = np.tanh(normed * weights["norm.weight"] + weights["norm.bias"])
    return active @ weights["output.weight"].T + weights["output.bias"]


def test_equals_the_papers_equations() -> None:
    """Pair by pair, each expert and gate on its own."""
    model = small()
    weights = {name: parameter.detach().numpy().astype(np.float64) for name, parameter in model.named_parameters()}
    content, pretrained = model.content.numpy(), model.cold_factors.numpy()
    mixed, distance = [], 0.0
    for item, is_replaced in zip(COLD_IDS.tolist(), REPLACED.tolist(), strict=True):
        total = np.zeros(RANK)
        for expert in range(EXPERTS):
            rows = slice(expert * RANK, (expert + 1) * RANK)
            answer = np.tanh(
                weights["transformation.experts.weight"][rows] @ content[item]
                + weights["transformation.experts.bias"][rows]
            )
            gate = np.tanh(
                weights["transformation.gates.weight"][expert] @ content[item]
                + weights["transformation.gates.bias"][expert]
            )
            total += gate * answer
        transformed = np.tanh(total)
        distance += ((transformed - pretrained[item]) ** 2).sum()
        mixed.append(transformed if is_replaced else pretrained[item])
    cold = literal_tower(np.stack(mixed), model.cold_tower)
    warm = literal_tower(model.warm_factors[WARM_IDS].numpy().astype(np.float64), model.warm_tower)
    found = model(COLD_IDS, WARM_IDS, REPLACED)
    np.testing.assert_allclose(found.scores.detach().numpy(), (cold * warm).sum(axis=1), rtol=1e-4, atol=1e-4)
    assert found.distance.item() == pytest.approx(distance, rel=1e-5)


def test_where_all_is_replaced_pretrained_factors_do_not_matter() -> None:
    one, other = small(), small(cold_factors=torch.zeros(COLD, RANK))
    assert torch.equal(one(COLD_IDS, WARM_IDS, ALL).scores, other(COLD_IDS, WARM_IDS, ALL).scores)
    assert not torch.equal(one(COLD_IDS, WARM_IDS, REPLACED).scores, other(COLD_IDS, WARM_IDS, REPLACED).scores)


def test_where_nothing_is_replaced_content_does_not_matter() -> None:
    one, other = small(), small(content=torch.zeros(COLD, FEATURES))
    assert torch.equal(one(COLD_IDS, WARM_IDS, NONE).scores, other(COLD_IDS, WARM_IDS, NONE).scores)
    assert not torch.equal(one(COLD_IDS, WARM_IDS, REPLACED).scores, other(COLD_IDS, WARM_IDS, REPLACED).scores)


def test_the_constraint_is_zero_where_content_says_the_factors() -> None:
    model = small()
    with torch.no_grad():
        model.cold_factors.copy_(model.transform(torch.arange(COLD)))
    assert model(COLD_IDS, WARM_IDS, REPLACED).distance.item() == pytest.approx(0.0, abs=1e-9)


def test_the_constraint_counts_every_pair_replaced_or_not() -> None:
    model = small()
    distances = {name: model(COLD_IDS, WARM_IDS, mask).distance.item() for name, mask in (("all", ALL), ("no", NONE))}
    assert distances["all"] == distances["no"]
    twice = model(COLD_IDS.repeat(2), WARM_IDS.repeat(2), ALL.repeat(2)).distance.item()
    assert twice == pytest.approx(2 * distances["all"], rel=1e-5)


def gradient(model: Heater, loss: Tensor) -> Tensor:
    model.zero_grad()
    loss.backward()
    grad = model.transformation.experts.weight.grad
    return torch.zeros(()) if grad is None else grad.abs().sum()


def test_experts_learn_from_replaced_pairs_and_from_the_constraint_alone() -> None:
    model = small()
    assert gradient(model, model(COLD_IDS, WARM_IDS, NONE).scores.sum()) == 0
    assert gradient(model, model(COLD_IDS, WARM_IDS, REPLACED).scores.square().sum()) > 0
    assert gradient(model, model(COLD_IDS, WARM_IDS, NONE).distance) > 0


def test_later_only_ids_without_factors_are_transformed() -> None:
    factors = small().cold_factors.clone()
    factors[2] = 0.0
    model = small(cold_factors=factors).eval()
    expected = factors.clone()
    expected[2] = model.transform(torch.tensor([2]))[0]
    torch.testing.assert_close(model.cold_vectors(torch.arange(COLD)), model.cold_tower(expected))


@pytest.mark.parametrize("num_experts", [1, 5])
def test_the_number_of_parameters(num_experts: int) -> None:
    experts = num_experts * RANK * (FEATURES + 1)
    gates = num_experts * (FEATURES + 1) if num_experts > 1 else 0
    tower = 2 * RANK * (RANK + 1) + 2 * RANK
    model = small(num_experts)
    assert sum(parameter.numel() for parameter in model.parameters()) == experts + gates + 2 * tower
    assert sum(parameter.numel() for parameter in model.penalised()) == experts + gates + 4 * RANK * (RANK + 1)


def test_gates_are_no_softmax() -> None:
    """They may be negative, and content of zeros with zero biases closes them all."""
    transformation = ExpertTransformation(num_features=FEATURES, rank=RANK, num_experts=EXPERTS)
    assert not transformation(torch.zeros(2, FEATURES)).any()


def test_one_expert_is_one_layer() -> None:
    model = small(1)
    layer = model.transformation.experts
    expected = torch.tanh(model.content @ layer.weight.T + layer.bias)
    assert torch.equal(model.transform(torch.arange(COLD)), expected)


def test_sparse_content_is_the_same_content() -> None:
    content = torch.tensor(np.random.default_rng(0).integers(0, 2, size=(COLD, FEATURES)), dtype=torch.float32)
    dense, sparse = small(content=content), small(content=content.to_sparse())
    for one, other in zip(
        vars(dense(COLD_IDS, WARM_IDS, REPLACED)).values(),
        vars(sparse(COLD_IDS, WARM_IDS, REPLACED)).values(),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    one, other = (gradient(model, model(COLD_IDS, WARM_IDS, REPLACED).scores.sum()) for model in (dense, sparse))
    torch.testing.assert_close(one, other)


def test_weights_start_small_and_cut() -> None:
    model = Heater(
        cold_factors=torch.zeros(2, 200), warm_factors=torch.zeros(2, 200), content=torch.zeros(2, 300), num_experts=5
    )
    for parameter in model.penalised():
        assert parameter.abs().max() <= 0.02
    assert model.transformation.experts.weight.std().item() == pytest.approx(0.0088, abs=2e-4)  # of a cut normal
