"""Origins are told by identity, and every parameter has one role."""

import pytest
from torch import nn

from peftrec.models.item_encoder import TowerItemEncoder
from peftrec.models.recommender import Recommender
from peftrec.training.parameter_groups import (
    PretrainedSnapshot,
    count_parameters,
    optimizer_groups,
    parameter_roles,
    tensor_bytes,
)
from peftrec.user_encoders.sasrec import SASRec
from small_models import SMALL_PAIRS

RATES = {"text": 1.0, "image": 2.0, "introduced": 3.0, "recommender": 4.0}


@pytest.fixture
def model() -> tuple[Recommender, PretrainedSnapshot]:
    towers = SMALL_PAIRS["text_and_image"].load(seed=0)
    snapshot = PretrainedSnapshot.of(towers)
    assert towers.text is not None
    towers.text.encoder.extra = nn.Linear(3, 3)  # what a strategy puts into a tower, under any name
    encoder = TowerItemEncoder(towers, embedding_dim=8)
    return Recommender(encoder, SASRec().build(dim=8, sequence_length=4)), snapshot


def test_origin_follows_the_tensor_and_not_its_name(model: tuple[Recommender, PretrainedSnapshot]) -> None:
    recommender, snapshot = model
    roles = {role.name: role for role in parameter_roles(recommender, recommender.item_encoder, snapshot)}
    for name, role in roles.items():
        if ".extra." in name:
            assert (role.origin, role.group) == ("introduced", "introduced")
        elif name.startswith("item_encoder.towers."):
            assert (role.origin, role.group) == ("pretrained", name.split(".")[2])
        else:
            assert (role.origin, role.group) == ("recommender", "recommender")


def test_groups_hold_each_trainable_parameter_once(model: tuple[Recommender, PretrainedSnapshot]) -> None:
    recommender, snapshot = model
    recommender.item_encoder.towers.image.requires_grad_(False)  # type: ignore[union-attr]
    roles = parameter_roles(recommender, recommender.item_encoder, snapshot)
    groups = {str(group["name"]): group for group in optimizer_groups(roles, RATES)}  # type: ignore[arg-type]
    assert {name: group["lr"] for name, group in groups.items()} == {
        name: rate for name, rate in RATES.items() if name != "image"
    }
    held = [id(parameter) for group in groups.values() for parameter in group["params"]]  # type: ignore[attr-defined]
    assert sorted(held) == sorted(id(p) for p in recommender.parameters() if p.requires_grad)
    counts = count_parameters(roles)
    assert counts["introduced"] == {"trainable": 12, "frozen": 0}
    assert counts["pretrained"]["frozen"] == sum(
        p.numel()
        for p in recommender.item_encoder.towers.image.parameters()  # type: ignore[union-attr]
    )


def test_a_shared_tensor_counts_once() -> None:
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    assert tensor_bytes([first.weight, second.weight, first.weight.view(16)]) == 64
