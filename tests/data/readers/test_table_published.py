"""Tables on real data, beside the repository; skipped where it is not."""

import os
from pathlib import Path
from typing import Any

import pytest

from peftrec.data.readers.iisan import IisanFiles
from peftrec.data.readers.table import TableFiles
from peftrec.data.split import split_catalogue

SHARED = Path(os.path.normpath(Path(__file__).resolve().parents[3] / ".." / "shared" / "data"))


@pytest.fixture
def movielens() -> str:
    folder = SHARED / "movielens_posters"
    if not folder.is_dir():
        # Its licence forbids a copy in the repository, so a clone alone cannot have it.
        pytest.skip("the data set movielens_posters is not beside the repository (../shared/data)")
    return str(folder)


def table_of(root: str, **fields: Any) -> TableFiles:
    return TableFiles(
        root=root,
        interactions="ratings.csv",
        items="movies.csv",
        user_column="userId",
        item_column="movieId",
        item_id_column="movieId",
        text_columns=("title", "genres"),
        windows="all",
        **fields,
    )


def test_movielens_from_ratings_has_the_histories_of_its_sequences(movielens: str) -> None:
    by_rating = table_of(movielens).read(titles=["text"], images=[])
    by_sequence = IisanFiles(root=movielens, windows="all").read(titles=["text"], images=[])
    of_rating, of_sequence = by_rating.interactions, by_sequence.interactions
    assert set(of_rating.users) == set(of_sequence.users)
    in_sequence = set(by_sequence.items.ids)
    place = {user: number for number, user in enumerate(of_sequence.users)}
    for number, user in enumerate(of_rating.users):
        named = [by_rating.items.ids[item] for item in of_rating[number]]
        expected = [by_sequence.items.ids[item] for item in of_sequence[place[user]]]
        assert [name for name in named if name in in_sequence] == expected
    assert by_rating.items.titles is not None
    assert by_rating.items.titles[0] == "Toy Story (1995). genres: Adventure|Animation|Children|Comedy|Fantasy"


def test_movielens_split_by_time(movielens: str) -> None:
    source = table_of(movielens, split="global_time")
    split = split_catalogue(source.read(titles=[], images=[]), source)
    assert split.num_interactions == 90_075
    assert len(split.items) == 3_627
    assert split.train_counts.sum() == round(0.8 * 90_075)
    assert split.counts == {
        "users_in_training": 513,
        "users_without_history_in_validation": 45,
        "users_ranked_in_validation": 19,
        "users_without_history_in_test": 52,
        "users_ranked_in_test": 29,
    }, "most users rated in one sitting, so that few have a history and a later target"
    assert 513 + 45 + 52 == 610
    assert (split.train_counts[split.test.targets] == 0).sum() == 12
