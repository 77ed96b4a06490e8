"""Where the sizes come from: histories and titles, never images; or numbers."""

from pathlib import Path

import pytest

from peftrec.errors import DataError
from peftrec.planning.batches import ExpectedWorkload
from peftrec.planning.request import DataSize, PlanRequest
from peftrec.planning.workloads import find_workload, read_workload
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings
from small_plans import settings_of

SIZE = DataSize(users=100, items=50, interactions=700)


def published(folder: Path, **changes: str) -> Settings:
    (folder / "items.tsv").write_text("".join(f"i{item}\tred lamp {item}\n" for item in range(9)))
    (folder / "users.tsv").write_text(
        "".join(f"u{user}\t" + " ".join(f"i{k}" for k in range(9)) + "\n" for user in "ab")
    )
    overrides = {"data": "iisan", "data.root": str(folder), "towers": "bert_vit_base_random", **changes}
    return compose_settings([f"{key}={value}" for key, value in overrides.items()])


def test_images_are_not_needed_and_that_is_said(tmp_path: Path) -> None:
    workload = read_workload(published(tmp_path))
    assert (workload.num_items, workload.num_windows) == (9, 2)
    assert workload.origin == "data: 2 users, 9 items, 18 interactions"
    assert workload.caveats[0].startswith("images and ready features are not looked at")
    assert workload.mean_tokens["text"] > 3


def test_titles_count_at_their_longest_without_a_tokenizer(tmp_path: Path) -> None:
    workload = read_workload(published(tmp_path, **{"towers.text.tokenizer": str(tmp_path / "none")}))
    assert workload.mean_tokens == {"text": 30}
    assert set(workload.title_lengths["text"]) == {30}
    assert workload.caveats[1].startswith("titles are counted at their longest, 30 tokens: towers.text.tokenizer: ")


def test_without_a_text_tower_titles_count_nothing(tmp_path: Path) -> None:
    assert read_workload(published(tmp_path, **{"towers.text": "null"})).mean_tokens == {}


def test_missing_data_is_one_error_with_the_way_out(tmp_path: Path) -> None:
    settings = compose_settings(["data=iisan", f"data.root={tmp_path / 'none'}"])
    with pytest.raises(DataError, match="or plan from numbers: users=N items=N interactions=N"):
        find_workload(settings, PlanRequest())


def test_numbers_stand_in_for_data_that_is_not_there(tmp_path: Path) -> None:
    settings = compose_settings(["data=iisan", f"data.root={tmp_path / 'none'}", "data.sequence_length=20"])
    workload = find_workload(settings, PlanRequest(size=SIZE))
    assert isinstance(workload, ExpectedWorkload)
    assert (workload.num_items, workload.sequence_length, workload.mean_tokens) == (50, 20, {"text": 30})
    assert workload.origin == "numbers: 100 users, 50 items, 700 interactions"


def test_numbers_win_over_data(tmp_path: Path) -> None:
    assert find_workload(settings_of(tmp_path), PlanRequest(size=SIZE)).num_items == 50
