"""An adapter a group of users: what divides users, what trains, what stays, who is ranked by what, what it costs."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from peftrec.config.instantiate import describe_part
from peftrec.data.choices import Competitors
from peftrec.data.competing import Competition
from peftrec.data.interactions import Interactions
from peftrec.data.loading import padded_sequences
from peftrec.data.split import RankingCases, Split
from peftrec.errors import CheckpointError, DataError, RecordError, SettingsError, UserError
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.files import Holding
from peftrec.progress.quiet import quieten_libraries
from peftrec.results.comparison import compare
from peftrec.results.divisions import RESULT_FILE, find_results, read_result
from peftrec.results.divisions_table import beside_runs, difference, to_markdown
from peftrec.results.ranks import read_ranks
from peftrec.results.record import Record, read_record, write_record
from peftrec.results.report.report import build_report
from peftrec.results.runs import Run
from peftrec.results.tables import bytes_text
from peftrec.serving.adapter_bank import AdapterBank
from peftrec.serving.loaded_run import LoadedRun
from peftrec.serving.recommend_request import RecommendRequest
from peftrec.serving.recommending import recommend
from peftrec.training.building.loaders import build_loaders
from peftrec.training.checkpoint import BEST, LAST, checkpoint_path
from peftrec.training.module import RecommenderModule
from peftrec.training.run.fitting import Fitted
from peftrec.training.run.pipeline import train_run
from peftrec.training.run.restored_ranks import rank_over
from peftrec.training.run.restored_run import RestoredRun, restore_run
from peftrec.training.run.scoring import encoded_candidates
from peftrec.user_groups import part as parts
from peftrec.user_groups.adapters import check_adapted, write_adapters
from peftrec.user_groups.answering import evaluate_division, group_of, run_of_group
from peftrec.user_groups.clusters import NONE, Groups, divide, newest_windows, training_states
from peftrec.user_groups.competing import WithinGroup
from peftrec.user_groups.experiment import frozen_tower_bytes, groups_of_run
from peftrec.user_groups.group_split import group_split, group_splits, training_counts
from peftrec.user_groups.members import USERS_FILE, read_members
from peftrec.user_groups.named_division import named_division
from peftrec.user_groups.part import Part
from peftrec.user_groups.ranking import rank_by_group
from peftrec.user_groups.settings import GroupsSettings
from small_runs import small_settings

pytestmark = pytest.mark.integration

NUMBER = 3
FLOAT_BYTES = 4
Trained = Callable[[str], Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The finished run of a strategy, trained once."""

    def train(strategy: str) -> Path:
        changes: dict[str, Any] = {"trainer": {"max_epochs": 2}}
        if strategy.startswith("allocat"):  # which takes longest, and a number of steps
            changes = {"towers": {"image": None}}
        return train_run(small_settings(tmp_path_factory.mktemp(strategy), strategy, **changes)).run_directory

    return cache(train)


@pytest.fixture(scope="module")
def run(trained: Trained) -> RestoredRun:
    """One to read; tests that train restore their own."""
    return restored(trained("lora"))


@pytest.fixture(scope="module")
def groups(run: RestoredRun) -> Groups:
    return divided(run)


@pytest.fixture(scope="module")
def answered(trained: Trained) -> Path:
    """The folder of a finished division."""
    return answer(trained("lora"))


def restored(directory: Path) -> RestoredRun:
    quieten_libraries()
    return restore_run(directory)


def settings_of(directory: Path, **changes: Any) -> GroupsSettings:
    return GroupsSettings(**{"run": str(directory), "number": NUMBER, "epochs": 2, **changes})


def answer(directory: Path, **changes: Any) -> Path:
    settings = settings_of(directory, **changes)
    return groups_of_run(settings, describe_part(settings, GroupsSettings))


def divided(run: RestoredRun, **changes: Any) -> Groups:
    return divide(run, encoded_candidates(run.module), settings_of(run.directory, **changes))


def state_of(module: RecommenderModule) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_groups_know_nothing_of_what_is_held_out(run: RestoredRun, groups: Groups) -> None:
    """Other items, in other histories, for other users: groups stay. One other item in training moves a state."""
    split = run.split
    garbled = RankingCases(
        histories=replace(split.test.histories, items=split.test.histories.items[::-1].copy()),
        targets=split.test.targets[::-1].copy(),
    )
    other = replace(run, split=replace(split, validation=garbled, test=garbled))
    assert np.array_equal(divided(other).of_user, groups.of_user)
    items = split.windows.items.copy()
    last = split.windows.offsets[1] - 1
    items[last] = (items[last] + 1) % len(split.items)
    changed = replace(run, split=replace(split, windows=replace(split.windows, items=items)))
    catalogue = encoded_candidates(run.module)
    moved = (training_states(changed, catalogue) != training_states(run, catalogue)).any(axis=1)
    assert moved.tolist() == [True, *[False] * (len(moved) - 1)]


def test_a_state_is_that_before_the_validation_item(run: RestoredRun) -> None:
    """It is the state that ranks each user's last item but one."""
    catalogue, cases = encoded_candidates(run.module), run.split.validation.histories
    read = padded_sequences(cases, np.arange(len(cases)), run.split.sequence_length, reads_times=False)
    with torch.inference_mode():
        expected = run.module.recommender.last_states(catalogue, read.items, read.mask)
    assert len({len(history) for history in cases}) > 1
    np.testing.assert_allclose(training_states(run, catalogue), expected.numpy(), atol=1e-6)


def test_each_user_who_trains_is_in_one_group_and_nobody_else(run: RestoredRun, groups: Groups) -> None:
    """No row of padding is: there are as many states as users, and none of zeros."""
    assert len(groups.users) == len(set(groups.users)) == groups.sizes.sum()
    assert set(groups.users) == set(run.split.windows.users)
    assert len(groups) == NUMBER
    assert groups.sizes.min() > 0
    assert list(groups.sizes) == sorted(groups.sizes, reverse=True)
    states = training_states(run, encoded_candidates(run.module))
    assert len(states) == len(groups.users)
    assert states.any(axis=1).all()
    assert groups.of(("nobody", *groups.users[:2])).tolist() == [NONE, *groups.of_user[:2].tolist()]


def test_a_seed_gives_the_same_groups(run: RestoredRun, groups: Groups) -> None:
    assert np.array_equal(divided(run).of_user, groups.of_user)
    many = [divided(run, number=16, seed=seed).of_user for seed in (1, 2, 3)]
    assert not all(np.array_equal(other, many[0]) for other in many)


def test_parts_of_the_data_make_the_whole(run: RestoredRun, groups: Groups) -> None:
    splits = group_splits(run.split, groups, run.settings)
    assert sum(len(split.windows) for split in splits) == len(run.split.windows)
    assert np.array_equal(sum(split.train_counts for split in splits), run.split.train_counts)
    for part in ("validation", "test"):
        users = [name for split in splits for name in getattr(split, part).histories.users]
        assert sorted(users) == sorted(getattr(run.split, part).histories.users)
    for group, split in enumerate(splits):
        assert set(groups.of(split.windows.users)) == {group}
        targets = dict(zip(run.split.test.histories.users, run.split.test.targets.tolist(), strict=True))
        assert [targets[user] for user in split.test.histories.users] == split.test.targets.tolist()


def test_an_item_between_two_windows_counts_once() -> None:
    """Of a in windows [3 4 5] and [1 2 3], newest first, and b in [3 3]: 3 stands three times in training."""
    windows = Interactions.from_lists(["a", "a", "b"], [[3, 4, 5], [1, 2, 3], [3, 3]])
    assert newest_windows(windows).tolist() == [True, False, True]
    assert training_counts(windows, 7).tolist() == [0, 1, 1, 3, 1, 1, 0]


@pytest.mark.parametrize("strategy", ["lora", "iisan_cached", "allocated"])
def test_every_group_starts_at_the_run_and_nothing_else_moves(trained: Trained, strategy: str, tmp_path: Path) -> None:
    """Also the second group, after the first has trained: scores are the run's, and so are the ranks."""
    run = restored(trained(strategy))
    catalogue, before = encoded_candidates(run.module), state_of(run.module)
    splits = group_splits(run.split, divided(run, number=2), run.settings)
    of_run = rank_over(run, run.split.test, catalogue)
    part = Part.of(run, epochs=16 if strategy == "allocated" else 2)
    part.check(splits)
    declared = set(part.names)
    assert all(name.startswith("recommender.item_encoder.") for name in declared)
    for number, split in enumerate(splits):
        assert torch.equal(encoded_candidates(part.reset()), catalogue)
        assert np.array_equal(rank_over(run, run.split.test, catalogue).ranks, of_run.ranks)
        part.train(split, tmp_path / str(number))
        after = state_of(part.load(tmp_path / str(number)))
        moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
        taken = {
            name for name in declared if "lora_E" in name and not after[name].any()
        }  # by the run's budget and its own
        assert moved | taken == declared
        assert not torch.equal(encoded_candidates(run.module), catalogue)


def test_one_group_is_the_run_trained_on(trained: Trained, tmp_path: Path) -> None:
    """The same windows in the same order, by a loop written out: Adam on the item encoder, bit for bit."""
    run = restored(trained("lora"))
    part = Part.of(run, epochs=1)
    (split,) = group_splits(run.split, divided(run, number=1), run.settings)
    assert np.array_equal(split.log_popularity(), run.split.log_popularity())
    part.train(split, tmp_path)
    found = part.load(tmp_path).state_dict()

    again = restored(trained("lora"))
    module = again.module
    for role in module.parameter_roles:
        if not role.name.startswith("item_encoder."):
            role.parameter.requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=1e-3, fused=True)
    loader = build_loaders(again.settings, again.split, module, again.device).training
    loader.sampler.set_epoch(0)  # type: ignore[attr-defined]
    module.set_training_modes()
    for step, batch in enumerate(loader):
        drawn = np.random.SeedSequence([again.settings.seed, step, 0, 0]).generate_state(1, dtype=np.uint64)[0]
        torch.manual_seed(int(drawn) % 2**63)
        optimizer.zero_grad()
        module.loss(batch).backward()
        optimizer.step()
    assert all(torch.equal(tensor, found[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(
    ("competitors", "number"),
    [
        (Competitors(), 0),
        (Competitors(kind="catalogue"), 3),
        (Competitors(kind="sampled", number=2), 2),
        (Competitors(kind="sampled", number=9, by_popularity=True), 3),
    ],
)
def test_negatives_of_the_group_are_of_its_items(competitors: Competitors, number: int) -> None:
    """Items 1, 4 and 6 of eight train here."""
    plain = Competition(competitors=competitors, train_counts=np.array([0, 5, 0, 0, 1, 0, 2, 0]), seed=3)
    batches = [np.array([0, row]) for row in range(1, 20)]
    drawn = [WithinGroup(**vars(plain)).beside(rows) for rows in batches]
    assert all(len(set(items.tolist())) == len(items) == number for items in drawn)
    assert set(np.concatenate(drawn).tolist()) == ({1, 4, 6} if number else set())
    again = [WithinGroup(**vars(plain)).beside(rows) for rows in batches]
    assert all(map(np.array_equal, drawn, again))


def test_a_group_draws_among_its_own_items_where_it_is_told_to(tmp_path: Path) -> None:
    objective = {"_target_": "peftrec.objectives.binary_cross_entropy.BinaryCrossEntropy", "negatives": 40}
    settings = small_settings(tmp_path, "iisan_cached", trainer={"max_epochs": 1}, objective=objective)
    run = restored(train_run(settings).run_directory)
    split = group_splits(run.split, divided(run), run.settings)[0]
    own = set(np.flatnonzero(split.train_counts).tolist())
    pools = {}
    for negatives in ("objective", "group"):
        part = Part.of(run, epochs=1, negatives=negatives)  # type: ignore[arg-type]
        batch = part.loaders(split).training.dataset[np.arange(8)]
        pools[negatives] = set(batch.items.items[batch.drawn].tolist())
    assert len(pools["objective"]) == len(pools["group"]) == 40
    assert pools["group"] <= own
    assert not pools["objective"] <= own


def test_every_test_user_is_ranked_once_by_the_own_group(trained: Trained, answered: Path) -> None:
    """Ranked anew, all users by each group's weights, of which each user's own are taken."""
    run = restored(trained("lora"))
    groups = divided(run)
    users = run.split.test.histories.users
    part = Part.of(run, epochs=2)
    by_group = [
        rank_over(run, run.split.test, encoded_candidates(part.load(answered / f"group_{number}"))).ranks
        for number in (1, 2, 3)
    ]
    expected = np.stack(by_group)[groups.of(users), np.arange(len(users))]
    written = read_ranks(answered)
    assert written["user"].tolist() == list(users)
    assert written["rank"].tolist() == expected.tolist()
    result = read_result(answered)
    assert result.test == ranking_metrics(expected, written["is_unreachable"].to_numpy())
    assert result.users_without_group == 0
    assert result.run == read_record(trained("lora")).evaluation.test  # type: ignore[union-attr]
    assert [group.training_users for group in result.groups] == groups.sizes.tolist()
    assert sum(group.test_users for group in result.groups) == len(users)
    hits = sum(group.test["hr@10"] * group.test_users for group in result.groups)
    assert hits / len(users) == pytest.approx(result.test["hr@10"])


def test_the_epoch_is_chosen_by_the_groups_validation(answered: Path) -> None:
    for number, group in enumerate(read_result(answered).groups, start=1):
        how = parts.read_trained(answered / f"group_{number}")
        assert how is not None
        scores = [epoch.validation["hr@10"] for epoch in how.epochs]
        assert how.chosen_epoch == group.chosen_epoch == int(np.argmax(scores))


def test_users_without_a_group_stay_with_the_run(trained: Trained, answered: Path) -> None:
    run = restored(trained("lora"))
    groups, catalogue = divided(run), encoded_candidates(run.module)
    of_run = rank_over(run, run.split.test, catalogue)
    fewer = Groups(users=groups.users[5:], of_user=groups.of_user[5:])
    splits = [group_split(run.split, fewer, group) for group in range(NUMBER)]
    folders = [answered / f"group_{number}" for number in (1, 2, 3)]
    part = Part.of(run, epochs=2)
    some, every = rank_by_group(part, fewer, splits, folders, of_run), read_ranks(answered)["rank"].to_numpy()
    is_in = fewer.of(run.split.test.histories.users) != NONE
    assert (~is_in).sum() == 5
    assert np.array_equal(some.ranks.ranks[~is_in], of_run.ranks[~is_in])
    assert np.array_equal(some.ranks.ranks[is_in], every[is_in])
    assert some.encodings == NUMBER + 1


def test_a_finished_division_is_evaluated_again(run: RestoredRun, trained: Trained, answered: Path) -> None:
    folder = named_division(trained("lora"), str(NUMBER))
    assert folder == answered
    assert named_division(trained("lora"), str(answered)) == answered
    members = read_members(folder)
    assert members.users == divided(run).users
    assert np.array_equal(members.of_user, divided(run).of_user)
    assert evaluate_division(restored(trained("lora")), folder) == read_result(folder).test


def test_each_user_is_answered_by_the_own_group(trained: Trained, answered: Path) -> None:
    """And who is in none, as every list of items, by the run itself."""
    directory, members = trained("lora"), read_members(answered)
    assert group_of(answered, None) is group_of(answered, "nobody") is None
    assert type(run_of_group(directory, answered, None)) is LoadedRun
    user = members.users[int(np.flatnonzero(members.of_user == 1)[0])]
    group = group_of(answered, user)
    assert group == 2
    again = restored(directory)
    catalogue = encoded_candidates(Part.of(again, epochs=1).load(answered / "group_2")).numpy()
    loaded = run_of_group(directory, answered, group)
    np.testing.assert_array_equal(loaded.item_vectors, catalogue)
    answer = recommend(request_of_words(directory, user), None, loaded=loaded, group=group)
    assert answer.to_text().startswith(f"for user {user}, after ")
    assert ", by group 2\n" in answer.to_text()
    best = loaded.recommend([user], k=3)
    assert [each.item for each in answer.recommendations] == best["item"].tolist()
    assert best["item"].tolist() != LoadedRun(directory=directory).recommend([user], k=50)["item"].tolist()


def request_of_words(directory: Path, user: str) -> RecommendRequest:
    return RecommendRequest(run=directory, user=user, items=(), k=3, candidates=None, keeps_seen=False)


def test_a_division_that_is_not_there_is_made_by_a_command(trained: Trained, answered: Path, tmp_path: Path) -> None:
    directory = trained("lora")
    with pytest.raises(SettingsError, match=rf"finished are .*{NUMBER}-.*peftrec groups run={directory} number=5"):
        named_division(directory, "5")
    with pytest.raises(SettingsError, match=r"none is finished.*number=8"):
        named_division(tmp_path, "of mine")
    with pytest.raises(RecordError, match=r"users\.parquet: which users"):
        read_members(tmp_path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"group": None}, "cannot be read"),
        ({"group": "a"}, "cannot be read"),
        ({"group": NUMBER + 1}, "is not as groups.json counts them"),
        ({"group": 0}, "is not as groups.json counts them"),
        ({"user": "one"}, "is not said of each user once"),
        ({"user": 1}, "is not said of each user once"),
    ],
)
def test_damaged_groups_answer_nobody(damage: dict[str, Any], words: str, answered: Path, tmp_path: Path) -> None:
    shutil.copy(answered / RESULT_FILE, tmp_path)
    pd.read_parquet(answered / USERS_FILE).assign(**damage).to_parquet(tmp_path / USERS_FILE)
    with pytest.raises(RecordError, match=rf"users\.parquet: which users are in which group {words}.*remove"):
        read_members(tmp_path)


def test_bytes_are_exact(trained: Trained, answered: Path) -> None:
    """LoRA's 2 x 2 matrices a block and the projections a group, the user encoder once, the towers once."""
    costs, directory = read_result(answered).costs, trained("lora")
    state = torch.load(checkpoint_path(directory, BEST), weights_only=True)["state_dict"]
    is_own = {name: name.startswith("recommender.item_encoder.") for name in state}
    assert costs.part_bytes == FLOAT_BYTES * sum(t.numel() for name, t in state.items() if is_own[name])
    assert costs.shared_bytes == FLOAT_BYTES * sum(t.numel() for name, t in state.items() if not is_own[name])
    assert costs.parts == NUMBER
    assert costs.kept_bytes == costs.shared_bytes + NUMBER * costs.part_bytes
    serving = read_record(directory).serving
    assert serving is not None
    assert serving.kept_bytes == costs.shared_bytes + costs.part_bytes
    run = restored(directory)
    towers = run.module.recommender.item_encoder.towers
    frozen = [p for p in towers.parameters() if not p.requires_grad]
    assert costs.tower_bytes == sum(t.numel() * t.element_size() for t in (*frozen, *towers.buffers()))


def test_the_towers_that_a_store_stands_in_for_are_counted(trained: Trained, run: RestoredRun) -> None:
    """The same towers, live and frozen, and in a store."""
    assert frozen_tower_bytes(restored(trained("iisan_cached"))) == frozen_tower_bytes(run)


def test_an_adapter_bank_serves_all_groups_on_one_tower(trained: Trained, answered: Path) -> None:
    """From the folders that are written for it; the towers are there once, and each adapter has its exact bytes."""
    check_adapted(trained("lora"))
    written = write_adapters(trained("lora"), answered)
    assert write_adapters(trained("lora"), answered) == written
    run = restored(trained("lora"))
    part, towers = Part.of(run, epochs=2), run.module.recommender.item_encoder.towers.present()
    content = run.module.content.batch(np.arange(8))
    for name, source in run.settings.towers.parts.items():
        folders = {str(number): written / name / str(number) for number in (1, 2, 3)}
        bare, inputs = source.load(name, seed=run.settings.seed), content.content(name)
        alone = AdapterBank(bare).num_bytes
        bank = AdapterBank(bare, folders)
        adapter = [p for p in towers[name].parameters() if p.requires_grad]
        assert bank.num_bytes == alone + NUMBER * FLOAT_BYTES * sum(p.numel() for p in adapter)
        with torch.no_grad():
            for number in folders:
                part.load(answered / f"group_{number}")
                torch.testing.assert_close(bank.encode(inputs, number), towers[name](inputs), atol=1e-5, rtol=0)
        assert not torch.equal(bank.encode(inputs, "1"), bank.encode(inputs, "2"))


def test_what_peft_did_not_write_has_no_adapter_folder(trained: Trained) -> None:
    with pytest.raises(SettingsError, match="adapters=true: iisan_cached puts no layers of peft into towers"):
        check_adapted(trained("iisan_cached"))


def test_what_was_killed_goes_on_and_nothing_is_trained_twice(
    trained: Trained,
    answered: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Killed in the second epoch of the second group: the first is read, the second goes on after its first epoch."""
    directory = Path(shutil.copytree(trained("lora"), tmp_path / "run", ignore=shutil.ignore_patterns("groups")))
    step, started = RecommenderModule.training_step, list[tuple[str, int]]()

    def fit(*arguments: Any, **keywords: Any) -> Fitted:
        started.append((arguments[3].name, int(checkpoint_path(arguments[3], LAST).exists())))
        return true_fit(*arguments, **keywords)

    def killed(module: RecommenderModule, batch: Any, batch_idx: int) -> Tensor:
        if len(started) == 2 and module.current_epoch == 1:
            raise KeyboardInterrupt
        return step(module, batch, batch_idx)

    true_fit = parts.fit
    monkeypatch.setattr(parts, "fit", fit)
    monkeypatch.setattr(RecommenderModule, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        answer(directory)
    monkeypatch.setattr(RecommenderModule, "training_step", step)
    folder = answer(directory)
    assert started == [("group_1", 0), ("group_2", 0), ("group_2", 1), ("group_3", 0)]
    assert "group_2: resumes where it was: 1 epochs are done" in capsys.readouterr().err
    assert read_ranks(folder).equals(read_ranks(answered))
    for number in (1, 2, 3):
        ours, theirs = (
            torch.load(checkpoint_path(place / f"group_{number}", BEST), weights_only=True)["state_dict"]
            for place in (folder, answered)
        )
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
        assert not checkpoint_path(folder / f"group_{number}", LAST).exists()
    assert answer(directory) == folder
    assert len(started) == 4
    assert f"finished before: {folder}" in capsys.readouterr().err


def test_weights_that_are_gone_are_trained_anew(trained: Trained, answered: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(answered / "group_1", tmp_path / "group_1"))
    assert parts.read_trained(folder) is not None
    checkpoint_path(folder, BEST).unlink()
    assert parts.read_trained(folder) is None
    checkpoint_path(folder, BEST).write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"best\.ckpt"):
        Part.of(restored(trained("lora")), epochs=2).load(folder)
    (folder / parts.GROUP_FILE).write_text("{}")
    with pytest.raises(RecordError, match=f"malformed; remove {folder}"):
        parts.read_trained(folder)


def test_a_table_has_the_run_and_every_division(trained: Trained, answered: Path) -> None:
    directory = trained("lora")
    one = answer(directory, number=1)
    lines = to_markdown(directory, answered).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == [
        "| the run",
        "| number=1 seed=1 epochs=2 negatives=objective",
        f"| number={NUMBER} seed=1 epochs=2 negatives=objective",
    ]
    assert len([line for line in lines if line.startswith(("| 1 |", "| 2 |", "| 3 |"))]) == NUMBER
    assert [each.folder for each in find_results(directory, answered)] == [one, answered]
    later = read_result(one).model_copy(update={"finished_at": "9999"})
    other = one.with_name("1-by-other-code")
    other.mkdir()
    (other / RESULT_FILE).write_text(later.model_dump_json())
    assert [each.folder for each in find_results(directory, answered)] == [other, answered]
    assert [each.folder for each in find_results(directory, one)] == [one, answered]  # what is asked for is shown
    (other / RESULT_FILE).write_text("{}")
    with pytest.raises(RecordError, match=f"no result of this version: remove {other}"):
        find_results(directory, answered)
    shutil.rmtree(other)
    mean, (low, high), p_value = difference(answered, directory)
    result = read_result(answered)
    assert mean == pytest.approx(result.test["hr@10"] - result.run["hr@10"])
    assert low <= mean <= high
    assert 0 < p_value <= 1


def test_a_report_has_what_was_divided_beside_its_run(trained: Trained, answered: Path) -> None:
    """Parameters and item vectors are what the tensors have; seconds and memory are those of the records."""
    directory = trained("lora")
    record, result = read_record(directory), read_result(answered)
    frame, unreadable = beside_runs(compare([Run(record, directory)]).strategies)
    first, own = (frame[frame["groups"].str.startswith(name)].iloc[0] for name in ("the run", f"number={NUMBER}"))
    state = torch.load(checkpoint_path(directory, BEST), weights_only=True)["state_dict"]
    part = sum(t.numel() for name, t in state.items() if name.startswith("recommender.item_encoder."))
    whole = sum(t.numel() for t in state.values())
    assert unreadable == []
    assert first["trainable"] == f"{whole:,}"
    assert own["trainable"] == f"{whole + (NUMBER - 1) * part:,}"
    run_seconds = sum(epoch.training_seconds for epoch in record.epochs)
    seconds = sum(group.training_seconds for group in result.groups)
    assert own["training, s"] == f"{run_seconds:.1f} + {seconds:.1f}"
    assert record.data is not None
    assert record.efficiency is not None
    assert result.costs.vector_bytes == FLOAT_BYTES * record.data.num_candidates * 8  # numbers an item
    assert own["item vectors"] == f"{NUMBER} x {first['item vectors']}"
    peaks = [record.efficiency.peak_memory_bytes, *(group.peak_memory_bytes for group in result.groups)]
    known = [peak for peak in peaks if peak is not None]
    assert own["peak memory"] == (bytes_text(max(known)) if len(known) == len(peaks) else "")

    report = build_report(directory.parent)
    assert f"number={NUMBER}" in report.to_terminal()
    assert report.contents["groups.md"].decode() == report.divisions
    assert b'<h2 id="groups">' in report.contents["index.html"]


def test_a_division_that_cannot_be_read_is_left_out_of_a_report(trained: Trained, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(trained("lora"), tmp_path / "run", ignore=shutil.ignore_patterns("groups")))
    rows = compare([Run(read_record(directory), directory)]).strategies
    assert [len(found) for found in beside_runs(rows)] == [0, 0]
    damaged = directory / "groups" / "2-x"
    damaged.mkdir(parents=True)
    (damaged / RESULT_FILE).write_text("{}")
    frame, unreadable = beside_runs(rows)
    assert frame.empty
    assert len(unreadable) == 1
    assert f"no result of this version: remove {damaged}" in unreadable[0]


def test_mistakes_are_one_error_before_anything_trains(
    run: RestoredRun, groups: Groups, trained: Trained, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="number=65: 64 users train; give number=64 at most"):
        divided(run, number=65)
    alike = replace(run, split=replace(run.split, windows=like_the_first(run.split)))
    with pytest.raises(
        SettingsError, match="the 64 users who train have only 1 distinct states; give number=1 at most"
    ):
        divided(alike)
    nobody = replace(
        run.split,
        validation=RankingCases(
            histories=run.split.validation.histories.of_users(groups.of_user == 0),
            targets=run.split.validation.targets[groups.of_user == 0],
        ),
    )
    with pytest.raises(DataError, match=r"group 2 of 3 has .* users and none of them in validation"):
        group_splits(nobody, groups, run.settings)
    lonely = Groups(users=groups.users, of_user=np.array([1, *[0] * (len(groups.users) - 1)]))
    with pytest.raises(DataError, match="group 2 of 2 has 1 users, and beside those of its own window no position"):
        group_splits(run.split, lonely, run.settings)
    allocating = restored(trained("allocated"))
    halves = group_splits(allocating.split, divided(allocating, number=2), allocating.settings)
    with pytest.raises(SettingsError, match=r"group 1 of 2: .* steps .* epochs=N in place of trainer\.max_epochs"):
        Part.of(allocating, epochs=1).check(halves)
    with pytest.raises(SettingsError, match="knows items by their ids alone has no item encoder to adapt"):
        answer(trained("id"))
    assert not (trained("id") / "groups").exists()


def like_the_first(split: Split) -> Interactions:
    """All windows are the first one's."""
    return Interactions.from_lists(split.windows.users, [split.windows[0]] * len(split.windows))


def test_a_run_whose_data_changed_is_refused(trained: Trained, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(trained("lora"), tmp_path / "run", ignore=shutil.ignore_patterns("groups")))
    record: Record = read_record(directory)
    provenance = record.provenance.model_copy(update={"data_hash": "0" * 64})
    write_record(record.model_copy(update={"provenance": provenance}), directory)
    with pytest.raises(RecordError, match="not what this run was trained on any more"):
        answer(directory)
    assert not (directory / "groups").exists()


def test_two_processes_do_not_train_the_same_groups(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Path(shutil.copytree(trained("lora"), tmp_path / "run", ignore=shutil.ignore_patterns("groups")))
    monkeypatch.setattr(Holding, "acquire", lambda self: False)
    with pytest.raises(UserError, match="another process trains these groups"):
        answer(directory)
    assert not (directory / "groups").exists()


def test_ranks_that_do_not_pair_are_refused(trained: Trained, answered: Path, tmp_path: Path) -> None:
    ranks = read_ranks(answered)
    ranks.iloc[1:].to_parquet(tmp_path / "ranks.parquet", index=False)
    with pytest.raises(RecordError, match="not the same test users"):
        difference(tmp_path, trained("lora"))
