"""A loaded run answers what the verb answers, and its scores are dot products of what it hands out."""

from collections.abc import Callable
from pathlib import Path

import jaxtyping
import numpy as np
import pandas as pd
import pytest

from peftrec.errors import DataError, RecordError, SettingsError
from peftrec.serving.loaded_run import LoadedRun
from peftrec.serving.recommending import recommend
from peftrec.serving.user_states import USERS_AT_ONCE, user_states
from peftrec.training.run.restored_run import RestoredRun
from peftrec.user_encoders.gru4rec import GRU4Rec
from recommend_requests import read_request

RUNS = [("full", None), ("iisan_cached", None), ("id", None)]
Restore = Callable[..., RestoredRun]

pytestmark = pytest.mark.usefixtures("answers_from_restored")


@pytest.fixture
def loaded(restored: Restore) -> LoadedRun:
    return LoadedRun(directory=restored("iisan_cached").directory)


@pytest.fixture
def no_other_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """In tests types of every call are checked against annotations; in users' programs they are not."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def table_of(run: LoadedRun, tables: Path, rows: list[int], *, prefix: str = "") -> pd.DataFrame:
    """Return known items as a table of new ones."""
    chosen = run.items.iloc[rows]
    images = [str(tables / "images" / f"{item}.png") for item in chosen["item"]]
    return pd.DataFrame({"item": prefix + chosen["item"], "title": chosen["title"], "image": images})


@pytest.mark.parametrize(("strategy", "without"), RUNS)
def test_many_users_are_answered_as_the_verb_answers_each(
    strategy: str, without: str | None, restored: Restore
) -> None:
    run = LoadedRun(directory=restored(strategy, without=without).directory)
    answer = run.recommend(run.users, k=6)
    assert list(answer.columns) == ["user", "rank", "item", "score", "title"]
    assert answer["score"].dtype == np.float32
    assert len(run.users) % USERS_AT_ONCE == 0
    for user, rows in answer.groupby("user", sort=False):
        single = recommend(read_request([f"run={run.directory}", f"user={user}", "k=6"]), None)
        expected = [(each.item, each.score, each.title) for each in single.recommendations]
        assert list(rows[["item", "score", "title"]].itertuples(index=False, name=None)) == expected
        assert rows["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert answer["user"].drop_duplicates().tolist() == list(run.users)


def test_a_users_state_does_not_depend_on_who_else_is_asked_about(
    loaded: LoadedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GRU's kernels add in another order for one user than for eight."""
    dim, length = loaded.item_vectors.shape[1], loaded.restored.split.sequence_length
    encoder = GRU4Rec().build(dim=dim, sequence_length=length).eval()
    monkeypatch.setitem(loaded.restored.module.recommender._modules, "user_encoder", encoder)
    histories = loaded.histories.interactions
    rows = np.arange(len(histories))
    together = user_states(loaded.restored, loaded.catalogue, histories, rows)
    shuffled = np.random.default_rng(0).permutation(rows)
    np.testing.assert_array_equal(
        user_states(loaded.restored, loaded.catalogue, histories, shuffled), together[shuffled]
    )
    for row in rows:
        alone = user_states(loaded.restored, loaded.catalogue, histories, rows[row : row + 1])
        np.testing.assert_array_equal(alone[0], together[row])


def test_scores_are_dot_products(loaded: LoadedRun, tables: Path) -> None:
    """Of the run's own items, and of the same items encoded from their titles and pictures."""
    state = loaded.user_state(loaded.history("u3"))
    assert (state.dtype, state.shape) == (np.float32, loaded.item_vectors.shape[1:])
    answer = loaded.recommend(["u3"], k=20, seen=True)
    by_item = dict(zip(loaded.items["item"], loaded.item_vectors @ state, strict=True))
    assert [by_item[item] for item in answer["item"]] == pytest.approx(answer["score"].tolist(), abs=1e-5)
    ids, vectors = loaded.encode_items(table_of(loaded, tables, [30, 3, 17]))
    assert ids == tuple(loaded.items["item"].iloc[[30, 3, 17]])
    assert vectors.dtype == np.float32
    assert (vectors @ state).tolist() == pytest.approx([by_item[item] for item in ids], abs=1e-5)


def test_a_history_is_answered_as_the_verb_answers_it(loaded: LoadedRun) -> None:
    history = ["m3", "m1", "m7"]
    single = recommend(read_request([f"run={loaded.directory}", f"items=[{','.join(history)}]", "k=5"]), None)
    answer = loaded.recommend_to_histories([history, list(loaded.history("u2"))], k=5)
    assert answer["history"].tolist() == [0] * 5 + [1] * 5
    assert answer["item"].tolist()[:5] == [each.item for each in single.recommendations]
    assert answer["score"].tolist()[:5] == [each.score for each in single.recommendations]
    assert answer["item"].tolist()[5:] == loaded.recommend(["u2"], k=5)["item"].tolist()


def test_new_items_are_ranked_beside_the_known(loaded: LoadedRun, tables: Path) -> None:
    copies = table_of(loaded, tables, list(range(len(loaded.items))), prefix="new-")
    answer = loaded.recommend(["u1"], k=30, seen=True, candidates=copies)
    scores = dict(zip(answer["item"], answer["score"], strict=True))
    pairs = [
        (scores[item], scores[f"new-{item}"]) for item in loaded.items["item"] if {item, f"new-{item}"} <= {*scores}
    ]
    assert len(pairs) >= 10
    for known, copy in pairs:
        assert copy == pytest.approx(known, abs=1e-5)
    with pytest.raises(DataError, match=r"DataFrame:0: item 'm\d+' is in the catalogue already"):
        loaded.recommend(["u1"], candidates=table_of(loaded, tables, [0]))


def test_nobody_asked_about_is_no_answer(loaded: LoadedRun) -> None:
    assert loaded.recommend([]).empty
    assert list(loaded.recommend([])) == ["user", "rank", "item", "score", "title"]


def test_unknown_users_are_one_message(loaded: LoadedRun) -> None:
    with pytest.raises(DataError, match=r"^5 of 6 users are not among the 16 of the run: '1'; .* u1; 'x'") as caught:
        loaded.recommend(["1", "u3", "x", "y", "z", "w"])
    assert str(caught.value).endswith("; and 2 more")


@pytest.mark.usefixtures("no_other_checks")
@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda run: run.recommend("u3"), SettingsError, r"users: expected a list of texts, .* write \['u3'\]"),
        (lambda run: run.recommend(["u3"], k=0), SettingsError, "k=0: expected a whole number from 1"),
        *(
            (lambda run, k=k: run.recommend(["u3"], k=k), SettingsError, "^k=.*: expected a whole number from 1")
            for k in (1.5, 1.0, float("nan"), True, "3", None, [1], -1)
        ),
        (lambda run: run.recommend(["u3"], seen="no"), SettingsError, "seen='no': expected True or False"),
        (lambda run: run.recommend_to_histories([["m1"]], seen=1), SettingsError, "seen=1: expected True or False"),
        *(
            (lambda run, users=users: run.recommend(users), SettingsError, f"^users.*: expected .*{message}")
            for users, message in (
                ([1], 'found 1: ids are text, so write "1"'),
                (np.array([18]), 'ids are text, so write "18"'),
                ([None], "found None: write"),
                ([float("nan")], "found nan: write"),
                ([b"x"], "found b'x': write"),
                (None, r'found None: write \["user00061"\]'),
                (7, "found 7: write"),
                ({"u3": 1}, "found a dict: write"),
                (np.array("u3"), "found a ndarray: write"),
            )
        ),
        (lambda run: run.recommend_to_histories([[18]]), SettingsError, r'history 0\[0\]: .* so write "18"'),
        (lambda run: run.recommend_to_histories([[None]]), SettingsError, r"history 0\[0\]: .* found None"),
        (lambda run: run.recommend_to_histories([{"m1", "m2"}]), SettingsError, "history 0: .* has no order"),
        (lambda run: run.recommend_to_histories("m1"), SettingsError, r'found a str: write \[\["item00018", "item'),
        (lambda run: run.user_state(None), SettingsError, "history: expected a list of texts, found None"),
        (lambda run: run.user_state([["m1"]]), SettingsError, r"history\[0\]: expected an id as text, found a list"),
        (lambda run: run.user_state([]), DataError, "history is empty"),
        (lambda run: run.history(61), SettingsError, 'user: .*: ids are text, so write "61"'),
        (lambda run: run.history(None), SettingsError, 'user: expected an id as text, found None: write "user00061"'),
        (lambda run: run.encode_items(None), SettingsError, "table: expected a path, found None: .* DataFrame with"),
        (lambda run: run.encode_items({}), SettingsError, "table: expected a path, found a dict"),
        (lambda run: run.recommend(["u3"], candidates=["x"]), SettingsError, "candidates: expected a path, found a li"),
        (lambda run: run.export(merge="no"), SettingsError, "merge='no': expected True or False"),
        (lambda run: run.recommend(["u3"], k=40), DataError, r"k=40: only \d+ items are left to recommend to 'u3'"),
        (lambda run: run.recommend_to_histories([["m1"], []]), DataError, "history 1 is empty"),
        (lambda run: run.recommend_to_histories(["m1"]), SettingsError, r"history 0: expected a list of texts"),
        (lambda run: run.user_state(["m1", "m99"]), DataError, "there is no item 'm99' among the candidates; the near"),
        (lambda run: run.user_state("m1"), SettingsError, r"write \['m1'\]"),
        (lambda run: run.history("u99"), DataError, "there is no user 'u99' among 16; the nearest is"),
    ],
)
def test_mistakes_name_what_is_wrong(
    ask: Callable[[LoadedRun], object], error: type[Exception], message: str, loaded: LoadedRun
) -> None:
    with pytest.raises(error, match=message):
        ask(loaded)


@pytest.mark.usefixtures("no_other_checks")
def test_users_may_come_from_anything_that_holds_texts(loaded: LoadedRun) -> None:
    users = ["u3", "u1"]
    expected = loaded.recommend(users, k=2)
    for same in (pd.Series(users), np.array(users), tuple(users), (user for user in users)):
        assert loaded.recommend(same, k=np.int64(2)).equals(expected)
    histories = [pd.Series(["m3", "m1"]), np.array(["m7", "m1"])]
    answers = loaded.recommend_to_histories(iter(histories), k=2)
    assert answers.equals(loaded.recommend_to_histories([["m3", "m1"], ["m7", "m1"]], k=2))


def test_vectors_that_answers_come_from_are_read_only(loaded: LoadedRun) -> None:
    before = loaded.recommend(["u3"], k=3)
    with pytest.raises(ValueError, match="read-only"):
        loaded.item_vectors[0] = 1e9
    assert loaded.recommend(["u3"], k=3).equals(before)
    assert loaded.item_vectors.copy().flags.writeable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": ["a", None]}, "DataFrame:1: the title is empty"),
        ({"title": ["a", 3]}, "column 'title' mixes kinds of values; make all of it text"),
        ({"image": ["m0.png", "gone.png"]}, "DataFrame:0: there is no image at m0.png"),
        ({"item": ["a", "a"]}, "DataFrame:1: item 'a' stands already in line 0"),
        ({"item": [1.5, 2]}, "DataFrame:0: item is 1.5, and an id is text or a whole number"),
    ],
)
def test_faults_of_a_table_name_their_row(
    change: dict[str, list[object]], message: str, loaded: LoadedRun, tables: Path
) -> None:
    with pytest.raises(DataError, match=message):
        loaded.encode_items(table_of(loaded, tables, [0, 1]).assign(**change))
    with pytest.raises(DataError, match="expected one column 'title', found item, image; this run needs item, title"):
        loaded.encode_items(table_of(loaded, tables, [0]).drop(columns="title"))
    with pytest.raises(DataError, match="no rows"):
        loaded.encode_items(table_of(loaded, tables, []))


def test_what_cannot_know_new_items_says_why(restored: Restore) -> None:
    run = LoadedRun(directory=restored("id").directory)
    with pytest.raises(SettingsError, match="knows items by their ids alone"):
        run.encode_items(pd.DataFrame({"item": ["a"]}))


def test_the_record_is_read_without_the_model(train: Callable[..., Path], tmp_path: Path) -> None:
    run = LoadedRun(directory=train("iisan_cached"))
    record = run.record
    assert record.run_id == run.directory.name
    assert record.strategy == "iisan_cached"
    assert 0 <= record.test["hr@10"] <= 1
    assert set(record.baselines) == {"popularity", "item_knn", "random"}
    assert record.costs["trainable_parameters"] > 0
    assert record.costs["store_bytes"] > 0
    assert record.epochs["epoch"].tolist() == [1]
    assert record.chosen_epoch == 1
    assert record.epochs["val/hr@10"].tolist() == [record.validation["hr@10"]]
    assert record.settings["trainer"]["max_epochs"] == 1
    assert "restored" not in vars(run)
    with pytest.raises(RecordError, match="no such record"):
        _ = LoadedRun(directory=tmp_path).record
