"""A run that is served by groups of its users: each is answered as `peftrec recommend groups=` does it, to the last
bit, new items have a vector by each part, and towers and user encoder are in memory once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from http_items import new_item, whole
from peftrec.config.instantiate import describe_part
from peftrec.errors import DataError, SettingsError
from peftrec.progress.quiet import quieten_libraries
from peftrec.serving.cold_items import encode_cold_items
from peftrec.serving.http.app import Service
from peftrec.serving.http.messages import EncodeBody, ItemsBody, RecommendAnswer, RecommendBody
from peftrec.serving.http.request import ServeRequest
from peftrec.serving.http.served_run import ServedRun
from peftrec.serving.loaded_run import LoadedRun
from peftrec.serving.recommending import recommend
from peftrec.serving.sent_items import sent_items
from peftrec.training.parameter_groups import storage_key, tensor_bytes
from peftrec.user_groups.answering import GroupOfRun, group_folder, run_of_group
from peftrec.user_groups.clusters import Groups
from peftrec.user_groups.experiment import groups_of_run
from peftrec.user_groups.held_groups import HeldGroups
from peftrec.user_groups.settings import GroupsSettings
from recommend_requests import read_request

pytestmark = pytest.mark.integration

Serve = Callable[..., Service]
STRATEGIES = ("lora", "iisan_cached")
NUMBER, LOST = 2, 3
"""Groups, and the user whom the fixture takes out of the own one."""


@pytest.fixture(scope="module")
def divide(train: Callable[[str], Path]) -> Callable[[str], Path]:
    """Divide the users of a strategy's run, once, and return the folder."""

    def divided(strategy: str) -> Path:
        quieten_libraries()
        settings = GroupsSettings(run=str(train(strategy)), number=NUMBER, epochs=1)
        return groups_of_run(settings, describe_part(settings, GroupsSettings))

    return divided


@pytest.fixture(params=STRATEGIES)
def folder(request: pytest.FixtureRequest, divide: Callable[[str], Path]) -> Path:
    return divide(request.param)


@pytest.fixture
def run(folder: Path, serve: Serve) -> ServedRun:
    return serve(strategy_of(folder), groups=str(NUMBER)).named(None)


def strategy_of(folder: Path) -> str:
    return folder.parent.parent.name.rpartition("-")[0]


def without(groups: HeldGroups, user: str) -> HeldGroups:
    """Let a user be in no group."""
    kept = np.array(groups.members.users) != user
    users = tuple(np.array(groups.members.users)[kept].tolist())
    return replace(groups, members=Groups(users=users, of_user=groups.members.of_user[kept]))


def test_all_together_are_answered_as_the_verb_does_by_their_own_group(run: ServedRun, folder: Path) -> None:
    assert run.groups is not None
    users, asked_first = run.users.interactions.users, run.users.interactions.users[LOST]
    run.asking = replace(run.asking, groups=without(run.groups, asked_first))
    bodies = [RecommendBody(user=user, k=1 + place % 7, seen=place % 3 == 0) for place, user in enumerate(users)]
    bodies += [RecommendBody(items=["m3", "m1", "m4"], k=9)]
    together = run.recommend(bodies)
    assert together == [answer for body in bodies for answer in run.recommend([body])]
    directory = folder.parent.parent
    loaded = {group: run_of_group(directory, folder, group) for group in (None, 1, 2)}
    found = set()
    for body, answer in zip(bodies, together, strict=True):
        assert isinstance(answer, RecommendAnswer)
        group = run.groups.group_of(body.user) or None
        who = f"user={body.user}" if body.items is None else f"items=[{','.join(body.items)}]"
        request = read_request([f"run={directory}", who, f"k={body.k}", f"seen={str(body.seen).lower()}"])
        expected = recommend(request, None, loaded=loaded[group], group=group)
        assert (answer.group, answer.num_steps) == (expected.group, expected.num_steps)
        assert [(each.item, each.score) for each in answer.recommendations] == [
            (each.item, each.score) for each in expected.recommendations
        ]
        found.add(answer.group)
    assert found == {None, 1, 2}
    own = run.recommend([RecommendBody(user=asked_first, k=5)])[0]
    assert isinstance(own, RecommendAnswer)
    assert own.group is None


def test_new_items_have_a_vector_by_each_part_and_all_are_kept(folder: Path, serve: Serve, tmp_path: Path) -> None:
    """Equal to those of a run with the group's weights in it, whatever was asked before; and after a restart."""
    strategy, keep = strategy_of(folder), str(tmp_path / "kept")
    run = serve(strategy, groups=folder.name, keep=keep).named(None)
    sent = ItemsBody.model_validate({"items": [new_item("n1", "Red steel lamp", 1), new_item("n2", "blue desk", 2)]})
    items = sent_items(sent.items, run.run.settings, known=(), max_image_pixels=2**20)
    directory = folder.parent.parent
    expected = [encode_cold_items(LoadedRun(directory=directory).restored, items)]
    for group in (1, 2):
        restored = GroupOfRun(directory=directory, group=group_folder(folder, group)).restored
        expected.append(encode_cold_items(restored, items))
    assert not any(np.array_equal(expected[0], other) for other in expected[1:])
    for group in (2, None, 1):
        answer = whole(run.encode(EncodeBody(items=sent.items, group=group)))
        assert answer.group == group
        vectors = np.array([item.vector for item in answer.items], dtype=np.float32)
        assert np.array_equal(vectors, expected[group or 0])

    whole(run.add(sent))
    for group in range(1 + NUMBER):
        assert np.array_equal(run.catalogues[group].embeddings[-2:], expected[group])
        assert run.catalogues[group].ids[-2:] == ("n1", "n2")
    everything = RecommendBody(user="u5", k=len(run.rows), seen=True)
    told = run.recommend([everything])[0]
    assert isinstance(told, RecommendAnswer)
    assert {each.item for each in told.recommendations if each.is_new} == {"n1", "n2"}

    run.added.release()
    again = serve(strategy, groups=folder.name, keep=keep).named(None)
    assert again.recommend([everything]) == [told]
    again.added.release()
    with pytest.raises(DataError, match="one with content neighbours or groups has more of them"):
        serve(strategy, keep=keep)


def test_what_groups_share_is_in_memory_once(run: ServedRun) -> None:
    assert run.groups is not None
    groups, module = run.groups, run.run.module
    before = {name: storage_key(parameter) for name, parameter in module.named_parameters()}
    bytes_before = tensor_bytes(module.parameters())
    for put in (*groups.models, groups.models[0]):
        put()
        assert tensor_bytes(module.parameters()) == bytes_before
    assert {name: storage_key(parameter) for name, parameter in module.named_parameters()} == before
    groups.put(2)
    moved = {name for name, parameter in module.named_parameters() if storage_key(parameter) != before[name]}
    assert moved == set(groups.parts[0])
    assert all(name.startswith("recommender.item_encoder.") for name in moved)
    assert groups.part_bytes == sum(4 * tensor.numel() for tensor in groups.parts[0].values())


def test_what_it_costs_is_said(folder: Path, serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    run = serve(strategy_of(folder), groups=str(NUMBER)).named(None)
    said = capsys.readouterr().err
    assert f"{run.name}: 2 groups, and the run's own part for who is in none: item vectors 3 x " in said
    described = run.describe()
    assert described.groups == NUMBER
    assert described.item_vector_bytes == 3 * run.catalogue.embeddings.nbytes
    plain = serve(strategy_of(folder)).named(None).describe()
    assert (plain.groups, 3 * plain.item_vector_bytes) == (0, described.item_vector_bytes)


def test_weights_of_a_group_in_inference_mode_stay_ordinary(run: ServedRun) -> None:
    """Parts are put in while items are encoded; the parameters can be read and shared afterwards all the same."""
    whole(run.add(ItemsBody.model_validate({"items": [new_item("n1")]})))
    assert not any(parameter.is_inference() for parameter in run.run.module.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in run.run.module.parameters())


def test_groups_that_are_not_there_are_refused(
    divide: Callable[[str], Path], train: Callable[[str], Path], ask: Callable[..., TestClient]
) -> None:
    folder, item = divide("lora"), [new_item("n1")]
    client, plain = ask("lora", groups=str(NUMBER)), ask("lora")
    missing = client.post("/encode", json={"items": item, "group": 3})
    assert missing.status_code == 404
    assert "group: there is no group 3 among the 2 of" in missing.json()["error"]
    none = plain.post("/encode", json={"items": item, "group": 1})
    assert none.status_code == 422
    assert "is served without groups; leave it out" in none.json()["error"]
    assert client.post("/items", json={"items": item, "group": 1}).status_code == 422
    with pytest.raises(SettingsError, match=r"no division of .* is called so, finished are"):
        ask("lora", groups="7")
    with pytest.raises(SettingsError, match="2 runs are given; start a service for each"):
        ServeRequest.of([train("lora"), train("full")], {"groups": folder.name}, ())
    with pytest.raises(SettingsError, match="groups=2 ranks each by the own group; leave one of the two out"):
        ServeRequest.of([train("lora")], {"groups": "2", "content_neighbours": "auto"}, ())
