"""Days of MovieLens that the evaluation predicts, counted by pandas as well."""

import os
from pathlib import Path

import pandas as pd
import pytest

from peftrec.data.split import kept_histories
from peftrec.profiles.evaluation import Protocol, predictions_of
from peftrec.serving.user_histories import SECONDS_A_DAY, UserHistories
from peftrec.settings.composition import compose_settings

FOLDER = Path(os.path.normpath(Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "movielens_posters"))


@pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the data set movielens_posters is not beside the repository (../shared/data)"
)
def test_days_of_movielens() -> None:
    data = compose_settings(["experiment=movielens_profiles", f"data.root={FOLDER}"]).data
    kept = kept_histories(data.read(titles=[], images=[]), data)
    predictions = [
        each
        for _, history in UserHistories(interactions=kept, day_length=SECONDS_A_DAY)
        for each in predictions_of(history, Protocol())
    ]
    ratings = pd.read_csv(FOLDER / "ratings.csv")
    days = ratings["timestamp"] // 86400
    first = days.groupby(ratings["userId"]).transform("min")
    later = ratings[days > first]
    assert len(kept) == ratings["userId"].nunique() == 610
    assert len(predictions) == len(later.groupby(["userId", days[days > first]])) == 4_702
    assert sum(len(each.targets) for each in predictions) == len(later) == 38_316
    assert later["userId"].nunique() == 274
