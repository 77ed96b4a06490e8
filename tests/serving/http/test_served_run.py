"""A served run says what `peftrec recommend` says, to the last bit, whoever else asks."""

import base64
import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from http_items import new_item, whole
from peftrec.errors import DataError, SettingsError
from peftrec.serving.cold_items import encode_cold_items, read_cold_items
from peftrec.serving.http.app import Service
from peftrec.serving.http.asking import UnknownError
from peftrec.serving.http.messages import EncodeBody, ItemsBody, RecommendAnswer, RecommendBody
from peftrec.serving.http.served_run import ENCODED_AT_ONCE, NotKeptError, ServedRun
from peftrec.serving.recommending import recommend
from recommend_requests import read_request

pytestmark = pytest.mark.integration

Serve = Callable[..., Service]


@pytest.fixture
def run(serve: Serve) -> ServedRun:
    return serve("full").named(None)


def same_as_the_verb(answer: object, run: ServedRun, *words: str) -> None:
    expected = recommend(read_request([f"run={run.run.directory}", *words]), None)
    assert isinstance(answer, RecommendAnswer)
    assert answer.num_steps == expected.num_steps
    assert [(each.item, each.title, each.score, each.is_new) for each in answer.recommendations] == [
        (each.item, each.title, each.score, each.is_new) for each in expected.recommendations
    ]


@pytest.mark.usefixtures("answers_from_restored")
def test_all_together_are_answered_as_each_alone_and_as_the_verb_does(run: ServedRun) -> None:
    users = run.users.interactions.users
    bodies = [RecommendBody(user=user, k=1 + place % 7, seen=place % 3 == 0) for place, user in enumerate(users)]
    history = ["m3", "m1", "m4", "m1"]
    bodies.append(RecommendBody(items=history, k=9))
    together = run.recommend(bodies)
    assert together == [answer for body in bodies for answer in run.recommend([body])]
    for body, answer in zip(bodies[:4], together, strict=False):
        same_as_the_verb(answer, run, f"user={body.user}", f"k={body.k}", f"seen={str(body.seen).lower()}")
    same_as_the_verb(together[-1], run, f"items=[{','.join(history)}]", "k=9")


def test_one_that_is_refused_leaves_the_others(run: ServedRun) -> None:
    bodies = [
        RecommendBody(user="u1"),
        RecommendBody(user="nobody"),
        RecommendBody(items=["m1", "m400"]),
        RecommendBody(user="u1", k=39),
        RecommendBody(user="u2", k=1001),
        RecommendBody(items=["m1"] * 1001),
        RecommendBody(user="u3"),
    ]
    first, *refused, last = run.recommend(bodies)
    assert [first, last] == run.recommend([bodies[0], bodies[-1]])
    messages = ("no user 'nobody' among the 16", "no item 'm400'", "k=39: only", "max_k=1000", "max_history=1000")
    for outcome, message in zip(refused, messages, strict=True):
        assert isinstance(outcome, DataError)
        assert message in str(outcome)
    assert [isinstance(outcome, UnknownError) for outcome in refused] == [True, True, False, False, False]


@pytest.mark.parametrize("strategy", ["full", pytest.param("iisan_cached", marks=pytest.mark.slow)])
def test_new_items_are_encoded_as_those_of_a_file(strategy: str, serve: Serve, tmp_path: Path) -> None:
    run = serve(strategy).named(None)
    sent = [new_item("n1", "Red steel lamp", 1), new_item("n2", "small blue kettle", 2)]
    answer = whole(run.encode(EncodeBody.model_validate({"items": sent})))

    for item in sent:
        (tmp_path / f"{item['id']}.png").write_bytes(decoded(item))
    table = tmp_path / "new.csv"
    table.write_text(
        "item,title,image\n" + "".join(f"{each['id']},{each['title']},{each['id']}.png\n" for each in sent)
    )
    expected = encode_cold_items(run.run, read_cold_items(table, run.run.settings, known=()))
    assert [item.id for item in answer.items] == ["n1", "n2"]
    assert np.array_equal(np.array([item.vector for item in answer.items], dtype=np.float32), expected)


def test_many_items_are_encoded_in_parts_between_which_others_are_answered(serve: Serve) -> None:
    run = serve("full").named(None)
    num_items = 2 * ENCODED_AT_ONCE + 1
    sent = [new_item(f"n{number}", f"{'red ' * (1 + number % 3)}lamp", number) for number in range(num_items)]
    body = ItemsBody.model_validate({"items": sent})
    asked = RecommendBody(user="u5", k=20)
    before, parts = run.recommend([asked]), run.add(body)
    for _ in range(2):
        next(parts)
        assert run.recommend([asked]) == before
    answer = whole(parts)
    assert (answer.added, run.num_added) == (num_items, num_items)
    one_by_one = [
        whole(run.encode(EncodeBody.model_validate({"items": [{**item, "id": f"again-{item['id']}"}]})))
        for item in sent
    ]
    assert run.catalogue.ids[-num_items:] == tuple(item["id"] for item in sent)
    expected = np.array([each.items[0].vector for each in one_by_one])
    assert np.allclose(run.catalogue.embeddings[-num_items:], expected, atol=1e-5)


def test_an_image_that_is_damaged_in_a_later_part_adds_nothing(serve: Serve) -> None:
    run = serve("full").named(None)
    sent = [new_item(f"n{number}") for number in range(ENCODED_AT_ONCE)] + [new_item("bad", image="AAAA")]
    with pytest.raises(DataError, match=rf"items\.{ENCODED_AT_ONCE}\.image: 3 bytes that are no JPEG"):
        whole(run.add(ItemsBody.model_validate({"items": sent})))
    assert run.num_added == 0


def decoded(item: dict[str, str]) -> bytes:
    return base64.b64decode(item["image"])


def test_added_items_are_recommended_at_once_and_after_a_restart(serve: Serve, tmp_path: Path) -> None:
    run = serve("full", keep=str(tmp_path / "kept")).named(None)
    before = run.recommend([RecommendBody(user="u5", k=20)])[0]
    body = ItemsBody.model_validate({"items": [new_item("n1"), new_item("n2", colour=2)]})
    added = whole(run.add(body))
    num_items = run.catalogue.num_candidates + 2
    assert (added.added, added.num_items, run.num_added) == (2, num_items, 2)
    bodies = [RecommendBody(user="u5", k=num_items, seen=True), RecommendBody(items=["n1", "m3"], k=num_items - 2)]
    everything, history = run.recommend(bodies)
    assert isinstance(everything, RecommendAnswer)
    assert isinstance(history, RecommendAnswer)
    assert {each.item for each in everything.recommendations if each.is_new} == {"n1", "n2"}
    assert "n1" not in {each.item for each in history.recommendations}

    again = serve("full", keep=str(tmp_path / "kept")).named(None)
    assert again.recommend(bodies) == [everything, history]
    without = serve("full").named(None)
    assert without.recommend([RecommendBody(user="u5", k=20)])[0] == before
    with pytest.raises(DataError, match=r"items\.0\.id: 'n1' is in the catalogue already"):
        whole(again.add(body))


@pytest.mark.usefixtures("answers_from_restored")
@pytest.mark.parametrize("strategy", ["full", "iisan_cached", "id"])
@pytest.mark.parametrize("weight", ["0.5", "auto"])
def test_content_neighbours_count_as_they_do_for_the_verb(
    strategy: str, weight: str, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    run = serve(strategy, content_neighbours=weight).named(None)
    assert f"{run.name}: content_neighbours={run.describe().content_neighbours:g}" in capsys.readouterr().err
    bodies = [RecommendBody(user="u1", k=7), RecommendBody(items=["m3", "m1"], k=7)]
    for body, who in zip(bodies, ("user=u1", "items=[m3,m1]"), strict=True):
        same_as_the_verb(run.recommend([body])[0], run, who, "k=7", f"content_neighbours={weight}")
    assert serve(strategy).named(None).describe().content_neighbours == 0.0


@pytest.mark.parametrize("strategy", ["full", "iisan_cached"])
def test_items_added_beside_content_neighbours_are_kept_with_their_content(
    strategy: str, serve: Serve, tmp_path: Path
) -> None:
    """A copy of another item has that one's score, after a restart too; who was there before keeps every score."""
    words = {"keep": str(tmp_path / "kept"), "content_neighbours": "0.5"}
    run = serve(strategy, **words).named(None)
    everything = RecommendBody(user="u5", k=run.catalogue.num_candidates, seen=True)
    (before,) = run.recommend([everything])
    body = ItemsBody.model_validate({"items": [new_item("n1"), new_item("n2")]})
    assert whole(run.add(body)).added == 2
    (after,) = run.recommend([everything.model_copy(update={"k": everything.k + 2})])
    assert isinstance(before, RecommendAnswer)
    assert isinstance(after, RecommendAnswer)
    assert [each for each in after.recommendations if not each.is_new] == before.recommendations
    first, second = (each.score for each in after.recommendations if each.is_new)
    assert first == pytest.approx(second, abs=1e-5)
    history = RecommendBody(items=["m3", "n1"], k=20)
    again = serve(strategy, **words).named(None)
    assert again.recommend([history]) == run.recommend([history])
    with pytest.raises(
        DataError, match=r"its vectors have \d+ numbers and this service's 8, as one with content neighb"
    ):
        serve(strategy, keep=words["keep"])


def test_what_cannot_be_kept_is_not_added(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = serve("full", keep=str(tmp_path / "kept")).named(None)
    monkeypatch.setattr("peftrec.serving.http.added_items.write_stream_atomically", fail)
    with pytest.raises(NotKeptError, match=r"nothing was added.*No space left"):
        whole(run.add(ItemsBody.model_validate({"items": [new_item("n1")]})))
    assert run.num_added == 0
    num_items = run.catalogue.num_candidates
    assert len(run.catalogue.ids) == num_items
    (answer,) = run.recommend([RecommendBody(user="u1", k=num_items, seen=True)])
    assert isinstance(answer, RecommendAnswer)


def test_no_more_is_added_than_may_be(serve: Serve) -> None:
    run = serve("full", max_added="2").named(None)
    assert whole(run.add(ItemsBody.model_validate({"items": [new_item("n1"), new_item("n2")]}))).added == 2
    with pytest.raises(DataError, match="max_added=2"):
        whole(run.add(ItemsBody.model_validate({"items": [new_item("n3")]})))


def test_a_run_that_knows_ids_alone_says_so(serve: Serve) -> None:
    run = serve("id").named(None)
    assert run.reads == []
    with pytest.raises(SettingsError, match="knows items by their ids alone"):
        whole(run.encode(EncodeBody.model_validate({"items": [new_item("n1")]})))
    assert isinstance(run.recommend([RecommendBody(user="u1")])[0], RecommendAnswer)


@pytest.mark.slow
def test_runs_on_one_tower_hold_it_once(serve: Serve) -> None:
    """LoRA beside its weights, towers that stay as they are, and a store's, which are loaded for new items alone."""
    service = serve("lora", "frozen", "iisan_cached")
    lora, frozen, cached = service.runs.values()
    assert cached.towers is not None
    held = [
        {name: tensor.data_ptr() for name, tensor in towers.named_parameters()}
        for towers in (*(run.run.module.recommender.item_encoder.towers for run in (lora, frozen)), cached.towers)
    ]
    assert held[1] == held[2]
    assert {*held[1].values()} < {*held[0].values()}
    assert len({str(run.recommend([RecommendBody(user="u1")])) for run in (lora, frozen, cached)}) == 3
