"""Whole runs on own data: every format gives the same run, a time split ranks whom it should, features stand in."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from peftrec.cli import main as cli
from peftrec.errors import DataError, RecordError, SettingsError
from peftrec.results.record import Record, read_record
from peftrec.settings.run import settings_from_config
from peftrec.training.run.pipeline import evaluate_run, train_run
from small_runs import small_config

pytestmark = pytest.mark.integration

NUM_USERS, NUM_ITEMS = 40, 30
TABLE, RECBOLE = "peftrec.data.readers.table.TableFiles", "peftrec.data.readers.recbole.RecBoleFiles"


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return interactions, in no order, and items."""
    random = np.random.default_rng(0)
    rows = [
        (f"user {user}", f"i {item}", 1_000 * step + int(random.integers(0, 1_000)))
        for user in range(NUM_USERS)
        for step, item in enumerate(random.permutation(NUM_ITEMS)[: random.integers(6, 14)])
    ]
    interactions = pd.DataFrame(rows, columns=["user", "item", "timestamp"]).sample(frac=1, random_state=1)
    words = random.choice(["red", "blue", "pen", "paper", "ink"], (NUM_ITEMS, 3))
    items = pd.DataFrame(
        {"item": [f"i {item}" for item in range(NUM_ITEMS)], "title": [" ".join(row) for row in words]}
    )
    return interactions, items


def write(root: Path) -> Path:
    """Write the same data in every format."""
    interactions, items = tables()
    for name, frame in (("interactions", interactions), ("items", items)):
        frame.to_csv(root / f"{name}.csv", index=False)
        frame.to_parquet(root / f"{name}.parquet", index=False)
    typed = interactions.set_axis(["user_id:token", "item_id:token", "timestamp:float"], axis=1)
    typed.to_csv(root / "own.inter", sep="\t", index=False)
    items.set_axis(["item_id:token", "title:token_seq"], axis=1).to_csv(root / "own.item", sep="\t", index=False)
    return root


def config_of(root: Path, strategy: str = "full", **changes: Any) -> dict[str, Any]:
    """Return a run on text alone."""
    config = small_config(root / "runs", strategy, trainer={"max_epochs": 1})
    config["towers"]["image"] = None
    return {**config, "data": {"_target_": TABLE, "root": str(root)}, **changes}


def train(config: dict[str, Any]) -> tuple[Path, Record]:
    outcome = train_run(settings_from_config(config))
    record = read_record(outcome.run_directory)
    assert outcome.status == record.status == "success"
    return outcome.run_directory, record


def test_every_format_gives_the_same_run(tmp_path: Path) -> None:
    write(tmp_path)
    sources: list[dict[str, Any]] = [
        {"_target_": TABLE},
        {"_target_": TABLE, "interactions": "interactions.parquet", "items": "items.parquet"},
        {"_target_": RECBOLE, "dataset": "own"},
    ]
    records = [
        train(config_of(tmp_path, data={"root": str(tmp_path), **source}, runs_dir=str(tmp_path / f"runs-{number}")))[1]
        for number, source in enumerate(sources)
    ]
    assert records[0].run_id == records[1].run_id != records[2].run_id  # a file's name decides nothing, a reader may
    assert len({record.provenance.data_hash for record in records}) == 1
    assert len({str(record.provenance.content_hashes) for record in records}) == 1
    assert records[0].evaluation == records[1].evaluation == records[2].evaluation
    assert records[0].data is not None
    assert records[0].data.num_users == NUM_USERS


@pytest.mark.parametrize("strategy", ["full", "iisan_cached", "id"])
def test_a_time_split_ranks_other_users_in_validation_and_test(tmp_path: Path, strategy: str) -> None:
    write(tmp_path)
    data = {"_target_": TABLE, "root": str(tmp_path), "split": "global_time", "validation_share": 0.2}
    run_directory, record = train(config_of(tmp_path, strategy, data=data))
    assert record.data is not None
    assert record.evaluation is not None
    ranks = pd.read_parquet(run_directory / "ranks.parquet")

    interactions, _ = tables()
    times = np.sort(interactions["timestamp"].to_numpy())
    validation_from, test_from = (times[round(share * len(times))] for share in (0.7, 0.9))
    assert set(ranks["user"]) == set(interactions["user"][interactions["timestamp"] >= test_from])
    assert 0 < len(ranks) < NUM_USERS
    for row in ranks.itertuples():
        own = interactions[interactions["user"] == row.user]["timestamp"]
        kept = min((own < validation_from).sum(), 11) + ((own >= validation_from) & (own < test_from)).sum()
        assert row.history_length == kept, "the training part is the last 11 items, and all of validation follows"
    assert record.data.num_users == len(ranks) == record.data.counts["users_ranked_in_test"]
    assert record.data.counts["users_ranked_in_validation"] != len(ranks)
    assert record.data.num_training_sequences == record.data.counts["users_in_training"]
    assert evaluate_run(run_directory) == record.evaluation


def features(root: Path, *shape: int) -> dict[str, Any]:
    """Save random features of both modalities and return the towers that read them."""
    random = np.random.default_rng(2)
    towers = {}
    for name in ("text", "image"):
        np.save(root / f"{name}.npy", random.normal(size=(NUM_ITEMS, *shape)).astype(np.float16))
        towers[name] = {
            "_target_": "peftrec.towers.ready_features.ReadyFeatures",
            "file": str(root / f"{name}.npy"),
        }
    return towers


@pytest.mark.parametrize("strategy", ["full", "iisan", "iisan_cached"])
def test_features_stand_in_for_towers(tmp_path: Path, strategy: str) -> None:
    config = config_of(write(tmp_path), strategy, towers=features(tmp_path, 5, 16))
    run_directory, record = train(config)
    assert record.parameters is not None
    assert "pretrained" not in record.parameters.by_origin
    assert set(record.provenance.content_hashes) == {"text", "image"}
    assert evaluate_run(run_directory) == record.evaluation

    moved = tmp_path / "moved.npy"
    (tmp_path / "text.npy").rename(moved)
    config["towers"]["text"]["file"] = str(moved)
    assert train(config)[0] == run_directory, "where the file lies does not decide the result"
    changed = np.load(moved)
    changed[3] += 1
    np.save(moved, changed)
    assert train(config)[0] != run_directory


def test_stored_and_live_features_give_the_same_ranks(tmp_path: Path) -> None:
    write(tmp_path)
    towers = features(tmp_path, 5, 16)
    live, stored = (train(config_of(tmp_path, strategy, towers=towers)) for strategy in ("iisan", "iisan_cached"))
    assert live[1].evaluation == stored[1].evaluation


def test_features_read_no_text_and_go_through_loader_workers(tmp_path: Path) -> None:
    write(tmp_path)
    data = {"_target_": TABLE, "root": str(tmp_path), "text_columns": []}
    towers = {**features(tmp_path, 16), "image": None}
    base = config_of(tmp_path, data=data, towers=towers)
    with_workers = {**base, "name": "workers", "trainer": {**base["trainer"], "num_workers": 1}}
    assert train(base)[1].evaluation == train(with_workers)[1].evaluation


def test_what_features_cannot_do_is_one_clear_error(tmp_path: Path) -> None:
    towers = features(write(tmp_path), 16)
    lora = {"_target_": "peftrec.strategies.lora.LoRA"}
    with pytest.raises(SettingsError, match="ready features have no layers"):
        train({**config_of(tmp_path, towers=towers), "strategy": lora})
    np.save(tmp_path / "text.npy", np.ones((NUM_ITEMS + 1, 16), dtype=np.float32))
    with pytest.raises(DataError, match=r"text\.npy: 31 rows for 30 items"):
        train(config_of(tmp_path, towers=towers))


def test_what_changed_since_the_run_is_said_in_words(tmp_path: Path) -> None:
    towers = {**config_of(tmp_path)["towers"], "image": features(tmp_path, 16)["image"]}
    run_directory, _ = train(config_of(write(tmp_path), towers=towers))

    def refusal() -> str:
        with pytest.raises(RecordError) as caught:
            evaluate_run(run_directory)
        return str(caught.value)

    interactions, items = tables()
    items.assign(title=items["title"] + "s").to_csv(tmp_path / "items.csv", index=False)
    assert refusal() == (
        f"{run_directory}: not what this run was trained on any more: the titles in {tmp_path} (content_hashes.text "
        "differs). Put back what it was trained on, or train again: the same command then starts a new run"
    )
    array = np.load(tmp_path / "image.npy")
    np.save(tmp_path / "image.npy", array + 1)
    interactions[1:].to_csv(tmp_path / "interactions.csv", index=False)
    found = refusal()
    assert f"the users' histories or the list of items in {tmp_path} (data_hash differs); the image features" in found
    assert f"the image features in {tmp_path / 'image.npy'} (content_hashes.image differs); the titles in" in found
    write(tmp_path)
    np.save(tmp_path / "image.npy", array)
    evaluate_run(run_directory)


def test_a_run_is_asked_wherever_its_data_lies_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write(old)
    run, _ = train(config_of(old, "id", runs_dir=str(tmp_path / "runs")))
    old.rename(new)
    assert cli.main(["evaluate", f"run={run}"]) == 2
    said = capsys.readouterr().err
    assert f"{old}: no such folder" in said
    assert "add its place to the command, data.root=DIR" in said
    assert cli.main(["evaluate", f"run={run}", f"data.root={new}"]) == 0
    assert cli.main(["recommend", f"run={run}", "user=user 1", "k=2", f"data.root={new}"]) == 0
    assert cli.main(["evaluate", f"run={run}", "data.sequence_length=3"]) == 2
    assert "only places can change" in capsys.readouterr().err


def test_a_record_alone_builds_no_store_outside_its_folder(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    config = small_config(tmp_path / "runs", "iisan_cached", trainer={"max_epochs": 1})
    run, _ = train({**config, "hidden_states": {"directory": str(foreign)}})
    evaluate_run(run)  # a store that is there is read
    shutil.rmtree(foreign)
    with pytest.raises(RecordError, match=rf"outside .*, which only the record names.*directory={foreign} to the"):
        evaluate_run(run)
    assert not foreign.exists()
    evaluate_run(run, [f"hidden_states.directory={foreign}"])
    assert foreign.exists()
