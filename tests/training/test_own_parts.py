"""What user encoders and objectives of users may ask for: times, parameters, negatives beside the batch's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peftrec.code.user_code import open_door
from peftrec.data.choices import Competitors
from peftrec.data.competing import Competition
from peftrec.errors import SettingsError
from peftrec.results.record import Record, read_record
from peftrec.serving.recommending import recommend
from peftrec.settings.run import settings_from_config
from peftrec.training.building.assembly import assemble
from peftrec.training.building.loaders import build_loaders
from peftrec.training.building.reading import prepare_data
from peftrec.training.checkpoint import LAST, checkpoint_path
from peftrec.training.run.pipeline import evaluate_run, train_run
from peftrec.training.run.restored_run import restore_run
from recommend_requests import read_request
from small_runs import small_config

pytestmark = pytest.mark.integration

TIMED = {"_target_": "own_parts.RecencyEncoder"}
TEMPERED = {"_target_": "own_parts.TemperedCrossEntropy"}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _open_door() -> Iterator[None]:
    open_door(code=[str(Path(__file__).parents[1])])
    yield
    open_door()


def config_of(folder: Path, **changes: Any) -> dict[str, Any]:
    whole = {name: changes.pop(name) for name in ("user_encoder", "objective") if name in changes}
    return {**small_config(folder, "id", **{"trainer": {"max_epochs": 2}, **changes}), **whole}


def train(config: dict[str, Any]) -> tuple[Path, Record]:
    outcome = train_run(settings_from_config(config))
    record = read_record(outcome.run_directory)
    assert outcome.status == "success", record.error
    return outcome.run_directory, record


def training_batches(config: dict[str, Any]) -> list[Any]:
    settings = settings_from_config(config)
    split = prepare_data(settings)
    module = assemble(settings, split, CPU).module
    return list(build_loaders(settings, split, module, CPU).training)


def write_interactions(folder: Path, *, with_times: bool = True, days: int = 1) -> dict[str, Any]:
    random = np.random.default_rng(0)
    lines = ["user,item,timestamp" if with_times else "user,item"]
    for user in range(30):
        for step, item in enumerate(random.permutation(25)[:8]):
            time = f",{1_000_000_000 + days * 86_400 * (step + user % 3)}" if with_times else ""
            lines.append(f"u{user},i{item}{time}")
    folder.mkdir(exist_ok=True)
    (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
    items = [f"i{item},red steel lamp {item}" for item in range(25)]
    (folder / "items.csv").write_text("\n".join(["item,title", *items]) + "\n")
    source = {"_target_": "peftrec.data.readers.table.TableFiles", "root": str(folder)}
    return source if with_times else {**source, "timestamp_column": None}


def timed_config(runs_dir: Path, data: dict[str, Any]) -> dict[str, Any]:
    config = config_of(runs_dir, user_encoder=TIMED)
    return {**config, "data": data, "towers": {**config["towers"], "image": None}}


# -- times -------------------------------------------------------------------------------------------------------


def test_times_reach_a_user_encoder_that_reads_them_and_no_other(tmp_path: Path) -> None:
    data = write_interactions(tmp_path / "data")
    for batch in training_batches(timed_config(tmp_path, data)):
        assert batch.times.shape == batch.mask.shape
        assert (batch.times[~batch.mask] == 0).all()
        for times, mask in zip(batch.times, batch.mask, strict=True):
            assert (times[mask] >= 1_000_000_000).all()
            assert times[mask].diff().gt(0).all()
    assert (
        training_batches(timed_config(tmp_path, data) | {"user_encoder": config_of(tmp_path)["user_encoder"]})[0].times
        is None
    )


def test_times_decide_the_result_of_who_reads_them_alone(tmp_path: Path) -> None:
    near = write_interactions(tmp_path / "near", days=1)
    far = write_interactions(tmp_path / "far", days=50)
    (folder, first), (_, second) = (train(timed_config(tmp_path / "runs", data)) for data in (near, far))
    assert first.run_id != second.run_id
    assert first.epochs[-1].training_loss != second.epochs[-1].training_loss
    assert evaluate_run(folder) == first.evaluation
    assert first.parameters is not None
    assert first.parameters.role["user_encoder.rate"] == "recommender/recommender"
    sasrec = config_of(tmp_path)["user_encoder"]
    blind = [train(timed_config(tmp_path / "runs", data) | {"user_encoder": sasrec})[1] for data in (near, far)]
    assert blind[0].run_id == blind[1].run_id


def test_data_without_times_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    config = timed_config(tmp_path / "runs", write_interactions(tmp_path / "data", with_times=False))
    with pytest.raises(SettingsError, match="user_encoder: it reads when items were taken, and this data holds no"):
        train_run(settings_from_config(config))
    assert not (tmp_path / "runs").exists()


def test_a_served_run_reads_the_times_of_its_users(tmp_path: Path) -> None:
    folder, _ = train(timed_config(tmp_path / "runs", write_interactions(tmp_path / "data")))
    run = restore_run(folder)
    found = recommend(read_request([f"run={folder}", "user=u3", "k=17"]), None)
    histories = run.split.test.histories
    row = histories.users.index("u3")
    part = slice(*histories.offsets[row : row + 2].tolist())
    last = int(run.split.test.targets[row])
    assert histories.times is not None
    items = torch.tensor([[*histories.items[part].tolist(), last]])
    assert len(items[0]) == 8
    times = torch.from_numpy(np.append(histories.times[part], histories.times[part][-1] + 86_400))[None]
    with torch.inference_mode():
        catalogue = run.module.encode_catalogue()
        states = run.module.recommender.last_states(catalogue, items, torch.ones_like(items, dtype=torch.bool), times)
        scores = (states @ catalogue.T)[0]
    best = {run.split.items.ids[place]: scores[place].item() for place in scores.argsort(descending=True).tolist()}
    unseen = [item for item in best if item not in {run.split.items.ids[place] for place in items[0].tolist()}]
    assert [each.item for each in found.recommendations] == unseen
    assert [each.score for each in found.recommendations] == pytest.approx([best[item] for item in unseen], rel=1e-5)
    with pytest.raises(SettingsError, match="items: the run's user encoder reads times, which a list of items lacks"):
        recommend(read_request([f"run={folder}", "items=i1,i2", "k=3"]), None)


# -- objectives --------------------------------------------------------------------------------------------------


def test_an_objective_trains_its_parameters_beside_the_recommenders(tmp_path: Path) -> None:
    folder, record = train(config_of(tmp_path, objective=TEMPERED))
    assert record.competitors == "items of the batch and 20 drawn evenly"
    assert record.parameters is not None
    assert record.parameters.role["objective.temperature"] == "recommender/recommender"
    saved = torch.load(checkpoint_path(folder, LAST), weights_only=True)["state_dict"]
    assert saved["objective.temperature"] != 1.0
    assert evaluate_run(folder) == record.evaluation


@pytest.mark.parametrize("kind", ["sampled", "catalogue"])
def test_negatives_beside_the_batch_are_encoded_and_counted(tmp_path: Path, kind: str) -> None:
    in_batch, beside = (train(config_of(tmp_path, objective={**TEMPERED, "kind": each}))[1] for each in ("batch", kind))
    assert in_batch.negatives_per_positive is not None
    assert beside.negatives_per_positive is not None
    assert beside.negatives_per_positive > in_batch.negatives_per_positive
    (first, *_) = training_batches(config_of(tmp_path, objective={**TEMPERED, "kind": kind}))
    standing = first.items.items[first.sequences[first.mask].unique()]
    assert len(first.items.items) > len(standing)
    if kind == "catalogue":
        assert first.items.items.tolist() == list(range(100))


def test_what_is_drawn_is_a_function_of_the_seed_and_the_batch(tmp_path: Path) -> None:
    """So a resumed run draws what an uninterrupted one draws."""
    config = config_of(tmp_path, objective=TEMPERED)
    first, again, other = (
        [batch.items.items.tolist() for batch in training_batches({**config, "seed": seed})] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert len({tuple(items) for items in first}) == len(first), "every batch draws anew"


def test_what_is_drawn_by_popularity_has_been_taken() -> None:
    counts = np.array([0, 5, 0, 1, 2])
    drawn = Competition(
        competitors=Competitors(kind="sampled", number=9, by_popularity=True), train_counts=counts, seed=1
    ).beside(np.array([0, 1]))
    assert sorted(drawn.tolist()) == [1, 3, 4]
    evenly = Competition(competitors=Competitors(kind="sampled", number=9), train_counts=counts, seed=1)
    assert sorted(evenly.beside(np.array([0, 1])).tolist()) == [0, 1, 2, 3, 4]
    most = Competition(
        competitors=Competitors(kind="sampled", number=1, by_popularity=True), train_counts=counts * 1000, seed=1
    )
    draws = [int(most.beside(np.array([row]))[0]) for row in range(400)]
    assert draws.count(1) / len(draws) == pytest.approx(5 / 8, abs=0.1)
