"""What is compared where user encoders and objectives are listed beside strategies, and that nothing changes where they
are not."""

from pathlib import Path

import pytest

from peftrec.code.user_code import open_door
from peftrec.errors import SettingsError
from peftrec.tuning.candidates import Candidate, compose_candidates
from peftrec.tuning.combinations import Combination, check_one_kind, one_of, several_of, split_words, words_of
from peftrec.tuning.drawing import draw
from peftrec.tuning.finals import best_file
from peftrec.tuning.settings import Budget, TuneSettings
from peftrec.tuning.space_files import space_file
from peftrec.tuning.tuning import command_of

TUNING = TuneSettings(budget=Budget(trials=4))
LIGR = Combination(strategy="id", beside={"user_encoder": "ligr"}, words=("LiGR",))


def test_strategies_alone_are_named_drawn_and_written_as_ever() -> None:
    """Numbers of trials that were tuned before combinations could be: a journal goes on with the same."""
    lora, iisan = compose_candidates(["strategy=lora,iisan_cached", "user_encoder=ligr"], TUNING)
    for each, name in ((lora, "lora"), (iisan, "iisan_cached")):
        assert (each.name, each.label, each.combination.file_name) == (name, name, name)
        assert each.combination.overrides == (f"strategy={name}",)
        assert best_file(each) == Path("tuned", f"{name}.yaml")
        assert [start.name for start in each.starts] == ["defaults", "published rates"]
    assert draw(lora.space, seed=0, name=lora.name, number=2) == {
        "learning_rates.introduced": 0.000164,
        "learning_rates.recommender": 0.00149,
        "strategy.alpha": 16.1,
        "strategy.rank": 10,
    }
    assert draw(iisan.space, seed=0, name=iisan.name, number=3) == {
        "learning_rates.introduced": 0.000293,
        "learning_rates.recommender": 0.000126,
        "strategy.bottleneck": 51,
    }


@pytest.fixture(scope="module")
def candidates() -> list[Candidate]:
    words = ["strategy=id", "objective=info_nce,bce", "user_encoder=sasrec,hstu", "batch_size=32"]
    return compose_candidates(words, TUNING)


def test_every_combination_has_a_name_a_label_and_a_file(candidates: list[Candidate]) -> None:
    assert [each.name for each in candidates] == [
        "id, user_encoder=sasrec, objective=info_nce",
        "id, user_encoder=sasrec, objective=bce",
        "id, user_encoder=hstu, objective=info_nce",
        "id, user_encoder=hstu, objective=bce",
    ]
    assert [each.label for each in candidates] == [
        "id (InfoNCE, SASRec)",
        "id (BinaryCrossEntropy, SASRec)",
        "id (InfoNCE, HSTU)",
        "id (BinaryCrossEntropy, HSTU)",
    ]
    assert best_file(candidates[2]) == Path("tuned_combination", "id", "hstu", "info_nce.yaml")
    assert candidates[2].combination.file_name == "id,user_encoder=hstu,objective=info_nce"
    assert candidates[3].combination.overrides == ("strategy=id", "user_encoder=hstu", "objective=bce")
    assert all(each.settings.batch_size == 32 for each in candidates)


def test_what_was_listed_is_tuned_by_its_own_space(candidates: list[Candidate]) -> None:
    shared = {"learning_rates.recommender", "user_encoder.dropout"}
    assert [set(each.space.dimensions) - shared for each in candidates] == [{"objective.temperature"}, set()] * 2
    assert all(shared <= set(each.space.dimensions) for each in candidates)
    (fixed, _) = compose_candidates(["strategy=id", "user_encoder=sasrec,hstu", "user_encoder.dropout=0.3"], TUNING)
    assert set(fixed.space.dimensions) == {"learning_rates.recommender"}
    assert best_file(fixed) == Path("tuned_combination", "id", "sasrec", "debiased_cross_entropy.yaml")


def test_a_key_is_widened_where_its_range_stands() -> None:
    assert space_file(LIGR, "user_encoder.dropout") == "search/user_encoder/ligr.yaml"
    assert space_file(LIGR, "learning_rates.recommender") == "search/id.yaml"
    assert space_file(Combination(strategy="id"), "user_encoder.dropout") == "search/id.yaml"


def test_spaces_of_ones_own_add_starts_and_keys_of_their_part(tmp_path: Path) -> None:
    file = tmp_path / "search" / "user_encoder" / "ligr.yaml"
    file.parent.mkdir(parents=True)
    words = ["strategy=id", "user_encoder=sasrec,ligr"]
    open_door(config=[str(tmp_path)])
    try:
        file.write_text(
            "space:\n  user_encoder.num_blocks: {type: int, low: 1, high: 4}\n"
            "starts:\n  deep: {user_encoder.num_blocks: 4}\n"
        )
        _, own = compose_candidates(words, TUNING)
        assert set(own.space.dimensions) == {"learning_rates.recommender", "user_encoder.num_blocks"}
        assert [start.name for start in own.starts] == ["defaults", "deep (ligr)"]
        file.write_text("space:\n  user_encoder.num_blocks: {type: int, low: 0, high: 4}\n")
        with pytest.raises(
            SettingsError, match=r"^id, user_encoder=ligr: search/user_encoder/ligr\.yaml: space\.user_"
        ):
            compose_candidates(words, TUNING)
        file.write_text("space:\n  batch_size: {type: int, low: 8, high: 16}\n")
        with pytest.raises(SettingsError, match=r"ligr\.yaml: space\.batch_size: .* keys of user_encoder alone"):
            compose_candidates(words, TUNING)
    finally:
        open_door()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["user_encoder=sasrec,ligr"], "strategy is required"),
        (["strategy=id", "user_encoder=ligr,ligr"], "user_encoder: ligr is named twice"),
        (
            ["strategy=id", "user_encoder=ligr,hstu", "user_encoder=gtn"],
            "user_encoder=ligr,hstu user_encoder=gtn: name what is compared in one word, as user_encoder=A,B",
        ),
        (
            ["strategy=id", "towers=tiny,tiny_random"],
            "give towers one value; .* of strategy, user_enc",
        ),
        (["strategy=id", "seed=1,2"], "trial_seed=N"),
        (
            ["strategy=id", "objective=bce", "objective=bpr"],
            "objective=bce objective=bpr: name what is compared in one",
        ),
        (["strategy=id", "user_encoder=ligr,"], "cannot read 'user_encoder=ligr,' "),
        (["strategy=[id,lora]"], r"strategy=\[id,lora\]: list names with commas between them, as strategy=A,B"),
        (["strategy=id", "user_encoder=ligr,null"], "user_encoder=ligr,null: list names with commas"),
        (["strategy=id", f"batch_size={'1' * 5000}"], "batch_size: expected a number that a record can hold"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        split_words(words)


def test_a_list_may_be_written_as_any_sweep_is() -> None:
    found, _ = split_words(["+strategy=choice(id,lora)", 'user_encoder=sasrec,"ligr"'])
    assert [each.name for each in found] == [
        f"{strategy}, user_encoder={reader}" for strategy in ("id", "lora") for reader in ("sasrec", "ligr")
    ]


def test_the_command_in_a_best_setting_is_one_line_that_can_be_pasted(tmp_path: Path) -> None:
    """Whatever its words hold: what stands behind a line's end would be settings."""
    open_door(config=[str(tmp_path)])
    try:
        words = ["strategy=id", "data.text_columns=[title,brand]", "name=a\nseed: 9"]
        assert command_of(words) == (
            f"peftrec tune --config-dir {tmp_path} strategy=id 'data.text_columns=[title,brand]' 'name=a\\nseed: 9'"
        )
    finally:
        open_door()


def test_options_of_one_class_are_told_by_their_names() -> None:
    assert words_of(
        {"user_encoder": {"small": "SASRec", "large": "SASRec"}, "objective": {"bce": "B", "bpr": "R"}}
    ) == {
        "user_encoder": {"small": "user_encoder=small", "large": "user_encoder=large"},
        "objective": {"bce": "B", "bpr": "R"},
    }


def test_one_folder_has_strategies_alone_or_combinations() -> None:
    folder = Path("runs/tuned/tuning")
    check_one_kind(LIGR, ["id, user_encoder=sasrec"], folder)
    check_one_kind(Combination(strategy="id"), ["lora"], folder)
    with pytest.raises(SettingsError, match=r"holds a tuning of strategies alone \(lora\); one of combinations"):
        check_one_kind(LIGR, ["lora"], folder)
    with pytest.raises(SettingsError, match="one of strategies alone needs a folder of its own: set name=NAME"):
        check_one_kind(Combination(strategy="id"), [LIGR.name], folder)


def test_what_had_the_budget_is_said_in_words() -> None:
    alone, both = Combination(strategy="id"), Combination(strategy="id", beside={"user_encoder": "a", "objective": "b"})
    assert (one_of([alone]), several_of([alone])) == ("strategy", "strategies")
    assert (one_of([LIGR, alone]), several_of([LIGR])) == ("combination of strategy and user encoder", "combinations")
    assert one_of([both]) == "combination of strategy, user encoder and objective"
