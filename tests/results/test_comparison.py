"""From runs to rows: means, baselines, refusals, and notes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from peftrec.errors import RecordError
from peftrec.results.comparison import SHOWN, compare, table
from peftrec.results.runs import Run, find_runs

Change = Callable[..., None]


def notes(experiment: Path) -> str:
    return "\n".join(compare(find_runs(experiment)).notes)


def test_columns_and_rows(runs: list[Run]) -> None:
    frame = table(compare(runs))
    assert tuple(frame.columns[: len(SHOWN)]) == SHOWN
    assert frame["strategy"].tolist() == [
        *("adapter", "bitfit", "fft", "frozen", "id", "iisan", "lora"),
        *("popularity", "random"),
    ]
    assert frame["seeds"].dropna().tolist() == [2] * 7


def test_quality_is_mean_and_cost_is_median_over_seeds(runs: list[Run]) -> None:
    row = table(compare(runs)).set_index("strategy").loc["lora"]
    scores = [run.evaluation.test["hr@10"] for run in runs if run.record.strategy == "lora"]
    assert row["hr@10"] == pytest.approx(sum(scores) / 2)
    assert row["hr@10_std"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert row["seconds_per_epoch"] == pytest.approx(52.0 * (0.98 + 1.0) / 2)
    assert (row["trainable_parameters"], row["peak_memory_bytes"]) == (200_000, 1950 * 2**20)


def test_baselines_have_no_cost(runs: list[Run]) -> None:
    baselines = table(compare(runs)).set_index("strategy").loc[["popularity", "random"]]
    assert baselines["hr@10"].tolist() == pytest.approx([0.04, 0.02])
    costs = ["seeds", "seconds_per_epoch", "trainable_parameters", "peak_memory_bytes", "tpme"]
    assert baselines[costs].isna().all(axis=None)


def test_one_seed_has_no_spread(experiment: Path, add_run: Callable[..., Path]) -> None:
    for run in find_runs(experiment):
        if run.record.seed == 2:
            (run.folder / "record.json").unlink()
    comparison = compare(find_runs(experiment))
    assert table(comparison)["hr@10_std"].isna().all()
    assert any("One seed, so no spread" in note for note in comparison.notes)


def test_failures_are_notes_and_all_failed_is_a_row(experiment: Path, change: Change) -> None:
    change(experiment / "fft-example1", status="out_of_memory", error="CUDA out of memory\ntrace", evaluation=None)
    change(experiment / "fft-example2", status="out_of_memory", error="CUDA out of memory", evaluation=None)
    change(experiment / "lora-example2", status="failed", error="loss is not finite", evaluation=None)
    change(experiment / "id-example1", status="running", evaluation=None)
    comparison = compare(find_runs(experiment))
    text = "\n".join(comparison.notes)
    assert "fft, seed 1: out of memory: CUDA out of memory (fft-example1)." in text
    assert "lora, seed 2: failed: loss is not finite (lora-example2)." in text
    assert "id, seed 1: running" in text
    frame = table(comparison).set_index("strategy")
    assert frame.loc["fft", "status"] == "out_of_memory"
    assert frame.loc["fft", ["hr@10", "tpme", "seconds_per_epoch"]].isna().all()
    counts = {"adapter": 2, "bitfit": 2, "fft": 0, "frozen": 2, "id": 1, "iisan": 2, "lora": 1}
    assert frame["seeds"].dropna().to_dict() == counts
    assert "Strategies have different seeds" in text
    assert "fft" not in comparison.tpme


def test_nothing_but_failures_is_an_error(experiment: Path, change: Change) -> None:
    for run in find_runs(experiment):
        change(run.folder, status="interrupted")
    with pytest.raises(RecordError, match=r"no run ended well.*lora-example1: interrupted"):
        compare(find_runs(experiment))


def test_other_data_is_refused_with_runs_keys_and_folders(experiment: Path, add_run: Callable[..., Path]) -> None:
    folder = add_run("lora", 9, "lora-other", comparison_hash="another")
    record = find_runs(folder)[0].record
    config = {**record.config, "evaluation": {"mask_history": "none", "monitor": "hr@10", "patience": 10}}
    add_run("lora", 9, "lora-other", comparison_hash="another", config=config)
    with pytest.raises(RecordError) as caught:
        compare(find_runs(experiment))
    text = str(caught.value)
    assert "lora-other" in text
    assert "lora-example1" in text
    assert "evaluation.mask_history (all: made-up; none: another)" in text
    assert "a folder of their own" in text
    folder.rename(experiment.parent / "second")
    (experiment.parent / "other").mkdir()
    (experiment.parent / "second").rename(experiment.parent / "other" / "lora-other")
    with pytest.raises(RecordError, match=rf"peftrec report {experiment} or peftrec report {experiment.parent}/other"):
        compare(find_runs(experiment.parent))


def test_groups_of_runs_are_told_apart_by_what_tells_and_not_by_all_that_differs(
    experiment: Path, add_run: Callable[..., Path]
) -> None:
    config = find_runs(experiment)[0].record.config
    data = {
        "_target_": "peftrec.data.readers.iisan.IisanFiles",
        "root": "there",
        "users": "users.tsv",
        "items": "x.tsv",
    }
    other = {**config, "data": data, "batch_size": 7, "trainer": {"max_epochs": 99}}
    for number in range(20):
        add_run("lora", number, f"lora-other{number}", comparison_hash="another", config={**other, "seed": number})
    with pytest.raises(RecordError) as caught:
        compare(find_runs(experiment))
    text = str(caught.value)
    assert "IisanFiles: another" in text
    assert "lora-other14, lora-other15 and 4 more" in text
    for told_by_none in ("batch_size", "max_epochs", "users.tsv", "data_hash"):
        assert told_by_none not in text
    (keys,) = (line for line in text.splitlines() if line.startswith("keys that differ: "))
    assert len(keys) < 200


def test_the_place_of_the_data_is_named_where_nothing_else_differs(
    experiment: Path, change: Change, add_run: Callable[..., Path]
) -> None:
    record = find_runs(experiment)[0].record
    data, roles = {"_target_": "peftrec.data.readers.iisan.IisanFiles"}, {"data.root": "place"}
    for run in find_runs(experiment):
        change(run.folder, config={**run.record.config, "data": {**data, "root": "A"}}, roles=roles)
    config = {**record.config, "data": {**data, "root": "B"}}
    add_run("lora", 9, "lora-other", comparison_hash="another", config=config, roles=roles)
    with pytest.raises(RecordError, match=r"keys that differ: data\.root \(A: made-up; B: another\)"):
        compare(find_runs(experiment))


def test_runs_are_found_behind_links_and_once(experiment: Path, tmp_path: Path) -> None:
    found = find_runs(experiment)
    (experiment / "lora-example1").rename(tmp_path / "elsewhere")
    (experiment / "lora-example1").symlink_to(tmp_path / "elsewhere")
    (experiment / "again").symlink_to(tmp_path / "elsewhere")
    (experiment / "circle").symlink_to(experiment)
    again = find_runs(experiment)
    assert [run.name for run in again] == [run.name for run in found]
    compare(again)


def test_other_device_is_refused(experiment: Path, change: Change) -> None:
    run = find_runs(experiment / "lora-example1")[0]
    change(run.folder, stretches=[run.record.latest.model_copy(update={"device": "another device"})])
    with pytest.raises(RecordError, match=r"the devices differ.*another device: lora-example1\); run all"):
        compare(find_runs(experiment))


def test_other_numbers_of_devices_are_refused(experiment: Path, change: Change) -> None:
    run = find_runs(experiment / "lora-example1")[0]
    changes = {"num_devices": 8, "num_nodes": 2}
    change(run.folder, stretches=[run.record.latest.model_copy(update=changes)])
    with pytest.raises(RecordError, match=r"8 x .* on 2 nodes: lora-example1\); run all strategies on the same"):
        compare(find_runs(experiment))


def test_twins_are_refused(experiment: Path, add_run: Callable[..., Path]) -> None:
    add_run("lora", 1, "lora-again", question_hash="another")
    with pytest.raises(RecordError, match="lora-again and lora-example1 are the same settings with the same seed 1"):
        compare(find_runs(experiment))
    (experiment / "lora-again").rename(experiment / "copy")
    (experiment / "copy" / "record.json").write_bytes((experiment / "lora-example1" / "record.json").read_bytes())
    with pytest.raises(RecordError, match="two records of this run"):
        compare(find_runs(experiment))


def test_settings_of_one_strategy_are_rows_of_their_own(experiment: Path, add_run: Callable[..., Path]) -> None:
    config = find_runs(experiment / "lora-example1")[0].record.config
    for rank in (4, 16):
        for seed in (1, 2):
            other = {**config, "seed": seed, "strategy": {"_target_": "made_up.lora", "rank": rank}}
            add_run("lora", seed, f"lora-{rank}-{seed}", config=other)
    rows = {row.strategy: len(row.runs) for row in compare(find_runs(experiment)).rows if "lora" in row.strategy}
    assert rows == {"lora (rank=16)": 2, "lora (rank=4)": 2, "lora (rank=absent)": 2}


def test_rows_of_one_strategy_are_told_apart_by_any_key_and_by_class(
    experiment: Path, add_run: Callable[..., Path], change: Change
) -> None:
    encoders = {
        "default": {"_target_": "made_up.sasrec.SASRec", "norm": "layer", "num_blocks": 2},
        "scale": {"_target_": "made_up.sasrec.SASRec", "norm": "scale", "num_blocks": 2},
        "gru": {"_target_": "made_up.gru.GRU", "hidden_dim": 8},
    }
    first = experiment / "lora-example1"
    config = find_runs(first)[0].record.config
    change(first, config={**config, "user_encoder": encoders["default"]})
    change(experiment / "lora-example2", config={**config, "seed": 2, "user_encoder": encoders["default"]})
    for name in ("scale", "gru"):
        add_run("lora", 1, f"lora-{name}", config={**config, "user_encoder": encoders[name]})
    warmed = {**encoders["scale"], "num_blocks": 3}
    add_run("lora", 1, "lora-warmed", config={**config, "user_encoder": warmed, "warmup_steps": 4})
    labels = {row.strategy: len(row.runs) for row in compare(find_runs(experiment)).rows if "lora" in row.strategy}
    assert labels == {
        "lora (GRU, warmup_steps=absent)": 1,
        "lora (SASRec, norm=layer, num_blocks=2, warmup_steps=absent)": 2,
        "lora (SASRec, norm=scale, num_blocks=2, warmup_steps=absent)": 1,
        "lora (SASRec, norm=scale, num_blocks=3, warmup_steps=4)": 1,
    }
    keys = "user_encoder, user_encoder.norm, user_encoder.num_blocks, warmup_steps"
    assert f"Rows of one strategy are told apart by {keys}." in notes(experiment)


def test_what_all_labels_say_is_not_noted_again(experiment: Path, add_run: Callable[..., Path]) -> None:
    config = find_runs(experiment / "lora-example1")[0].record.config
    for run in find_runs(experiment):
        (run.folder / "record.json").unlink()
    for strategy in ("lora", "iisan"):
        for norm in ("layer", "scale"):
            warmup = {"warmup_steps": 0 if strategy == "lora" else 9}
            changed = {**config, **warmup, "user_encoder": {"_target_": "made_up.SASRec", "norm": norm}}
            add_run(strategy, 1, f"{strategy}-{norm}", config=changed)
    text = notes(experiment)
    assert "user_encoder.norm (" not in text
    assert "warmup_steps (9: iisan (norm=layer), iisan (norm=scale); 0: lora" in text


def test_a_class_tells_a_row_and_numbers_that_came_with_it_are_noted(
    experiment: Path, add_run: Callable[..., Path]
) -> None:
    """As where rates and dropout were tuned for each user encoder. A number in which rows of one class differ tells."""
    config = find_runs(experiment / "lora-example1")[0].record.config
    for run in find_runs(experiment):
        (run.folder / "record.json").unlink()
    tuned = {
        "lora": [("GRU", 0.1, 3), ("LiGR", 0.4, 5)],
        "iisan": [("GRU", 0.2, 5), ("LiGR", 0.1, 5), ("LiGR", 0.1, 7)],
    }
    for strategy, rows in tuned.items():
        for name, dropout, warmup in rows:
            encoder = {"_target_": f"made_up.{name}", "dropout": dropout}
            changed = {**config, "warmup_steps": warmup, "user_encoder": encoder}
            add_run(strategy, 1, f"{strategy}-{name}-{warmup}", config=changed)
    labels = [row.strategy for row in compare(find_runs(experiment)).strategies]
    assert labels == [
        *("iisan (GRU)", "iisan (LiGR, warmup_steps=5)", "iisan (LiGR, warmup_steps=7)"),
        *("lora (GRU)", "lora (LiGR)"),
    ]
    text = notes(experiment)
    assert "user_encoder.dropout (0.2: iisan (GRU); 0.1: iisan (LiGR, warmup_steps=5), " in text
    assert "warmup_steps (5: iisan (GRU), iisan (LiGR, warmup_steps=5), lora (LiGR); 7: iisan" in text


def test_classes_of_one_name_are_told_apart_by_their_modules(experiment: Path, add_run: Callable[..., Path]) -> None:
    config = find_runs(experiment / "lora-example1")[0].record.config
    for module in ("one", "two"):
        add_run("lora", 1, f"lora-{module}", config={**config, "objective": {"_target_": f"{module}.Loss"}})
    labels = [row.strategy for row in compare(find_runs(experiment)).rows if "Loss" in row.strategy]
    assert labels == ["lora (one.Loss)", "lora (two.Loss)"]


def test_differing_settings_are_listed_and_harmless_ones_not(experiment: Path, change: Change) -> None:
    for seed in (1, 2):
        folder = experiment / f"iisan-example{seed}"
        config = find_runs(folder)[0].record.config
        data = {"root": f"elsewhere-{seed}"}
        changes = {"batch_size": 32, "data": data, "runs_dir": "elsewhere", "logger": {"csv": False}}
        roles = dict.fromkeys(("data.root", "runs_dir", "logger"), "place")
        change(folder, config={**config, **changes}, roles=roles)
    text = notes(experiment)
    assert "batch_size (64: adapter, bitfit, fft, frozen, id, lora; 32: iisan)" in text
    assert "runs_dir" not in text
    assert "data.root" not in text
    assert "logger" not in text
    assert "seed" not in text.replace("different seeds", "")


def test_provenance_and_measurement_notes(experiment: Path, change: Change) -> None:
    run = find_runs(experiment / "lora-example1")[0]
    stretch = run.record.latest.model_copy(update={"git_commit": "abc", "git_dirty": True})
    assert run.record.efficiency is not None
    shared = run.record.efficiency.model_copy(update={"is_isolated": False})
    towers = {"towers": {"text": {"random_init": True}}}
    change(run.folder, stretches=[stretch], efficiency=shared, chosen_epoch=5)
    for seed in (1, 2):
        folder = experiment / f"lora-example{seed}"
        change(folder, config={**find_runs(folder)[0].record.config, **towers})
    text = notes(experiment)
    assert "git_commit (null: adapter, bitfit, fft, frozen, id, iisan, lora-example2; abc: lora-example1)" in text
    assert "tower_revisions" not in text
    assert "uncommitted changes: lora" in text
    assert "lora: costs were measured in a process that other runs shared" in text
    assert "lora: towers have random weights" in text
    assert "lora: the chosen epoch is the last one" in text


def test_sizes_of_two_seeds_may_differ_by_an_odd_number_of_bytes(experiment: Path, change: Change) -> None:
    for seed, size in ((1, 1000), (2, 1003)):
        change(experiment / f"lora-example{seed}", checkpoint_bytes=size)
    frame = table(compare(find_runs(experiment))).set_index("strategy")
    assert frame.loc["lora", "checkpoint_bytes"] in (1001, 1002)


def test_small_towers_on_other_data_and_users_that_were_left_out_are_said(experiment: Path, change: Change) -> None:
    assert "left out" not in notes(experiment)
    for run in find_runs(experiment):
        towers = {"text": {"checkpoint": "package:tiny_towers/bert"}, "image": None}
        source = {"_target_": "peftrec.data.readers.table.TableFiles"}
        assert run.record.data is not None
        counts = {"users_dropped_short_history": 224, "users_dropped_core": 0, "items_dropped_missing_title": 3}
        data = run.record.data.model_copy(update={"counts": counts})
        change(run.folder, config={**run.record.config, "towers": towers, "data": source}, data=data)
    text = notes(experiment)
    assert "60 users are tested; 224 were left out before the split (short history 224)." in text
    assert "all rows: towers are the small ones of this package" in text
    for run in find_runs(experiment):
        built_in = {"_target_": "peftrec.data.synthetic.catalogue.SyntheticCatalogue"}
        change(run.folder, config={**run.record.config, "data": built_in})
    assert "towers are the small ones" not in notes(experiment)


def test_one_strategy_or_one_epoch_is_a_table_without_tpme(experiment: Path, change: Change) -> None:
    alone = compare(find_runs(experiment / "lora-example1"))
    assert table(alone)["tpme"].isna().all()
    assert any("No TPME: TPME compares at least two" in note for note in alone.notes)
    for seed in (1, 2):
        run = find_runs(experiment / f"lora-example{seed}")[0]
        assert run.record.efficiency is not None
        change(run.folder, efficiency=run.record.efficiency.model_copy(update={"seconds_per_epoch": None}))
    text = notes(experiment)
    assert "No TPME: lora (runs lora-example1, lora-example2): seconds_per_epoch is missing" in text
    on_front = table(compare(find_runs(experiment))).set_index("strategy")["is_on_front"]
    assert on_front.isna()["lora"], "whether it is on the front is not known either"
    assert on_front["id"]


def test_protocol_stands_beside_the_figures(runs: list[Run]) -> None:
    text = " ".join(compare(runs).protocol)
    for part in ("Full ranking over 500 candidates", "history mask all", "unreachable", "leave one out", "hr@10"):
        assert part in text
    assert "normalised over: adapter, bitfit, fft, frozen, id, iisan, lora" in text
    assert "popularity, random" in text


def test_parameter_counts_must_agree_between_seeds(experiment: Path, change: Change) -> None:
    run = find_runs(experiment / "lora-example1")[0]
    assert run.record.parameters is not None
    change(run.folder, parameters=run.record.parameters.model_copy(update={"trainable": 3}))
    with pytest.raises(RecordError, match=r"lora-example1, lora-example2: parameters\.trainable differs"):
        compare(find_runs(experiment))
