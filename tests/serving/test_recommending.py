"""Lists against brute force, on runs of several strategies and modalities."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peftrec.cli import main as cli
from peftrec.config.composition import compose_part
from peftrec.errors import SettingsError
from peftrec.profiles.base import unit_rows
from peftrec.profiles.settings import ProfileSettings
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.serving.recommendations import Recommendations
from peftrec.serving.recommending import NUM_REASONS, recommend
from peftrec.serving.user_histories import UserHistories
from peftrec.training.run.restored_run import RestoredRun
from recommend_requests import read_request

RUNS = [("full", None), ("iisan_cached", None), ("id", None), ("full", "image"), ("iisan_cached", "text")]
Restore = Callable[..., RestoredRun]


def ask(run: Path, *words: str) -> Recommendations:
    request = read_request([f"run={run}", *words])
    settings = (
        compose_part(ProfileSettings, request.profile_words, folder="profiles") if request.profile_words else None
    )
    return recommend(request, settings)


def history_of(run: RestoredRun, user: str) -> list[int]:
    return UserHistories.of(run, day_length=86400.0).of_user(user).items.tolist()


def check_top(items: list[str], values: dict[str, float], number: int) -> None:
    """Check that they are the items of the largest values, best first; values that a last bit orders are equal."""
    assert len(items) == len(set(items)) == min(number, len(values))
    best = sorted(values.values(), reverse=True)[:number]
    assert [values[item] for item in items] == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize(("strategy", "without"), RUNS)
@pytest.mark.usefixtures("answers_from_restored")
def test_the_list_is_the_top_of_all_scores(strategy: str, without: str | None, restored: Restore) -> None:
    run = restored(strategy, without=without)
    answer = ask(run.directory, "user=u3", "k=7")
    seen = history_of(run, "u3")
    recent = torch.tensor(seen[-run.split.sequence_length :])
    with torch.inference_mode():
        catalogue = run.module.encode_catalogue()
        length = run.split.sequence_length
        inputs = torch.zeros(1, length, catalogue.shape[1])
        inputs[0, length - len(recent) :] = catalogue[recent]
        mask = torch.arange(length)[None] >= length - len(recent)
        scores = (run.module.recommender.user_encoder(inputs, mask)[0, -1] @ catalogue.T).numpy()
    left = {
        item: float(score)
        for row, (item, score) in enumerate(zip(run.split.items.ids, scores, strict=True))
        if row not in seen
    }
    check_top([each.item for each in answer.recommendations], left, 7)
    for each in answer.recommendations:
        assert each.score == pytest.approx(left[each.item], abs=1e-5)
    assert (answer.user, answer.num_steps, answer.interests) == ("u3", len(seen), None)
    assert all(each.interest is None and not each.is_new for each in answer.recommendations)


@pytest.mark.parametrize(("strategy", "without"), RUNS)
@pytest.mark.usefixtures("answers_from_restored")
def test_reasons_are_the_largest_dot_products(strategy: str, without: str | None, restored: Restore) -> None:
    run = restored(strategy, without=without)
    vectors = ServedCatalogue.of(run).embeddings
    ids = list(run.split.items.ids)
    seen = history_of(run, "u5")
    for words, rows in (((), vectors), (("profile=pinnersage",), unit_rows(vectors))):
        for each in ask(run.directory, "user=u5", "k=4", *words).recommendations:
            products = {ids[row]: float(rows[row] @ rows[ids.index(each.item)]) for row in seen}
            check_top([reason.item for reason in each.reasons], products, NUM_REASONS)
            titles = run.split.items.titles
            assert titles is not None
            for reason in each.reasons:
                assert reason.product == pytest.approx(products[reason.item], abs=1e-5)
                assert reason.title == titles[ids.index(reason.item)]


@pytest.mark.usefixtures("answers_from_restored")
def test_held_out_items_are_the_past_and_not_recommended(restored: Restore) -> None:
    run = restored("full")
    row = run.split.test.histories.users.index("u7")
    seen = history_of(run, "u7")
    assert seen == [*run.split.test.histories[row].tolist(), int(run.split.test.targets[row])]
    everything = ask(run.directory, "user=u7", f"k={len(run.split.items) - len(seen)}")
    listed = {each.item for each in everything.recommendations}
    assert listed == set(run.split.items.ids) - {run.split.items.ids[item] for item in seen}
    again = ask(run.directory, "user=u7", "seen=true", f"k={len(run.split.items)}")
    assert {each.item for each in again.recommendations} == set(run.split.items.ids)


@pytest.mark.usefixtures("answers_from_restored")
def test_items_are_a_history_without_a_user(restored: Restore) -> None:
    run = restored("full")
    ids = [run.split.items.ids[row] for row in history_of(run, "u2")]
    by_items = ask(run.directory, f"items=[{','.join(ids)}]", "k=5")
    by_user = ask(run.directory, "user=u2", "k=5")
    assert by_items.recommendations == by_user.recommendations
    assert (by_items.user, by_items.num_steps) == (None, len(ids))


@pytest.mark.usefixtures("answers_from_restored")
def test_interests_take_turns_by_importance(restored: Restore) -> None:
    run = restored("id")  # whose embeddings point everywhere
    words = ["profile=pinnersage", "profile.alpha=0.3", "profile.selection=top", "profile.num_served=3"]
    answer = ask(run.directory, "user=u1", "k=8", *words)
    assert answer.interests is not None
    assert len(answer.interests) == 3
    vectors, ids = unit_rows(ServedCatalogue.of(run).embeddings), list(run.split.items.ids)
    free = set(range(len(ids))) - set(history_of(run, "u1"))
    for place, each in enumerate(answer.recommendations):
        interest = place % 3
        medoid = answer.interests[interest].item
        assert medoid is not None
        query = vectors[ids.index(medoid)]
        best = max(free, key=lambda row: float(query @ vectors[row]))
        assert (each.item, each.interest) == (ids[best], interest + 1)
        assert each.score == pytest.approx(float(query @ vectors[best]), abs=1e-5)
        free.remove(best)


@pytest.mark.usefixtures("answers_from_restored")
def test_importance_is_as_of_the_last_step(restored: Restore) -> None:
    run = restored("full")
    answer = ask(run.directory, "user=u4", "profile=decay_average", "profile.decay=0.3")
    history = UserHistories.of(run, day_length=86400.0).of_user("u4")
    days = history.known_days()
    assert answer.interests is not None
    assert answer.interests[0].importance == pytest.approx(np.exp(-0.3 * (days[-1] - days)).sum())
    assert (answer.interests[0].item, answer.interests[0].size) == (None, len(days))
    slow = ask(run.directory, "user=u4", "profile=decay_average", "profile.decay=0.3", "day_length=864000")
    assert slow.interests is not None
    assert slow.interests[0].importance == pytest.approx(np.exp(-0.03 * (days[-1] - days)).sum())


@pytest.mark.parametrize("profile", ["last_item", "kmeans", "pinnersage_centroid", "pinnersage_complete"])
@pytest.mark.usefixtures("answers_from_restored")
def test_every_profile_recommends_what_is_new(profile: str, restored: Restore) -> None:
    run = restored("full")
    seen = {run.split.items.ids[row] for row in history_of(run, "u9")}
    answer = ask(run.directory, "user=u9", f"profile={profile}", "k=6")
    items = [each.item for each in answer.recommendations]
    assert len(set(items)) == 6
    assert not set(items) & seen
    assert answer == ask(run.directory, "user=u9", f"profile={profile}", "k=6")


@pytest.mark.usefixtures("answers_from_restored")
def test_the_graph_recommends_what_exact_search_does(restored: Restore) -> None:
    run = restored("id").directory
    words = ("user=u6", "k=9", "profile=pinnersage")
    exact, graph = (ask(run, *words, *more).recommendations for more in ((), ("neighbours=hnsw",)))
    assert [(each.item, each.interest) for each in graph] == [(each.item, each.interest) for each in exact]
    assert [each.score for each in graph] == pytest.approx([each.score for each in exact], abs=1e-5)


@pytest.mark.usefixtures("answers_from_restored")
def test_without_timestamps_profiles_count(restored: Restore) -> None:
    run = restored("full", timestamp_column=None).directory
    with pytest.raises(SettingsError, match=r"set profile\.decay=0"):
        ask(run, "user=u0", "profile=pinnersage")
    answer = ask(run, "user=u0", "profile=pinnersage", "profile.decay=0")
    assert answer.interests is not None
    assert all(each.importance == each.size for each in answer.interests) or len(answer.interests) == 3
    assert len(ask(run, "user=u0").recommendations) == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["user=u33"], "user: there is no user 'u33' among 16; the nearest are u3"),
        (["user=nobody"], "user: there is no user 'nobody' among 16; ids look like u0, u1, u2"),
        (["items=[m1,m400]"], "items: there is no item 'm400' among the candidates; the nearest are m4"),
        (["user=u1", "k=500"], "k=500: only "),
        (["user=u1", "candidates=nowhere.tsv"], "candidates: nowhere.tsv: no such file"),
        (["user=u1", "profile=pinersage"], "profile=pinersage: no such option; did you mean pinnersage?"),
        (["user=u1", "profile=pinnersage", "profile.alfa=2"], "unknown key profile.alfa; did you mean profile.alpha?"),
        (["user=u1", "profile=pinnersage", "profile.alpha=-1"], "profile.alpha: expected a value greater than 0"),
    ],
)
@pytest.mark.usefixtures("answers_from_restored")
def test_a_mistake_is_one_line(
    words: list[str], message: str, train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["recommend", f"run={train('full')}", *words]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_text_and_json_say_the_same(train: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["recommend", f"run={train('full')}", "user=u8", "k=3", "profile=pinnersage"]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert cli.main([*words, "--json"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert content == json.loads(json.dumps(asdict(ask(train("full"), *words[2:]))))
    for each in content["recommendations"]:
        line = next(line for line in text.splitlines() if line.split()[1:2] == [each["item"]])
        assert each["title"] in line
        assert f"{each['score']:.4f}" in line
        assert f"interest {each['interest']}" in line
        assert all(f"{reason['product']:.2f}" in line for reason in each["reasons"])
    for number, each in enumerate(content["interests"], start=1):
        assert any(line.split()[:1] == [str(number)] and each["item"] in line.split() for line in text.splitlines())
