"""What `conf/tables.yaml` declares: every table of the Makefile, at every scale, of steps that the verbs can read."""

import re
from pathlib import Path

import pytest

from peftrec.cli.main import VERBS
from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError
from peftrec.paper_tables.declared import SCALES, Table, find_table, read_tables
from peftrec.settings.composition import compose_settings
from peftrec.tuning.candidates import compose_candidates
from peftrec.tuning.tuning import read_words

MAKEFILE = Path(__file__).parents[2] / "Makefile"
BUILDABLE = [
    pytest.param(table, id=f"{name}-{scale}")
    for scale in SCALES
    for name, table in read_tables(scale).items()
    if table.why_not is None
]


def first_values(words: list[str]) -> list[str]:
    """Return a sweep's words with the first value of each, as one job of it has them."""
    return [re.sub(r"^([^=]+=[^,\[]+),.*", r"\1", word) for word in words if word != "-m"]


def test_the_makefile_has_a_target_for_each() -> None:
    (names,) = re.findall(r"^TABLES := (.+)$", MAKEFILE.read_text(), re.MULTILINE)
    assert names.split() == list(read_tables("tiny"))


def test_every_table_can_be_built_at_tiny_and_real() -> None:
    for scale in ("tiny", "real"):
        assert not [name for name, table in read_tables(scale).items() if table.why_not is not None]


@pytest.mark.integration
@pytest.mark.parametrize("table", BUILDABLE)
def test_steps_are_verbs_with_settings_that_compose(table: Table) -> None:
    assert table.needs_root == (table.scale != "tiny")
    for step in table.filled({"root": "somewhere"}):
        assert step[0] in VERBS
        left = [word for word in step if "{" in word]
        assert all(re.fullmatch(r"run=\{run:[a-z_]+\}", word) for word in left)
        if step[0] == "train":
            settings = compose_settings(first_values(step[1:]))
            assert settings.name.startswith(table.runs_name)
        elif step[0] == "tune":
            tuning, words = read_words(step[1:])
            assert all(each.settings.name == table.runs_name for each in compose_candidates(words, tuning))


def test_users_words_go_to_what_trains_and_nowhere_else() -> None:
    steps = find_table("efficiency", "tiny").filled({}, ["seed=4"])
    assert [step[-1] == "seed=4" for step in steps] == [step[0] == "train" for step in steps]
    steps = find_table("multi-interest", "tiny").filled({}, ["seed=4"])
    assert [step[0] for step in steps if step[-1] == "seed=4"] == ["train"]


def test_users_words_take_the_place_of_those_of_their_key() -> None:
    (step,) = find_table("main", "tiny").filled({}, ["seed=7", "strategy=lora"])
    assert step == ["train", "-m", "experiment=table_tiny", "name=table_main_tiny", "seed=7", "strategy=lora"]


def test_a_folder_with_a_space_stays_one_word() -> None:
    (step,) = find_table("main", "real").filled({"root": "my data"})
    assert "data.root=my data" in step


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [
        ("mian", "tiny", "unknown table mian; did you mean main?"),
        ("main", "huge", "scale=huge: choose one of tiny, real, paper"),
        ("norms", "paper", r"table norms, scale=paper: .* on translation.*; take scale=real or scale=tiny"),
    ],
)
def test_what_is_not_there_is_said(name: str, scale: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        find_table(name, scale)


def test_a_malformed_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tables.yaml"
    file.write_text((config_directory() / "tables.yaml").read_text().replace("title:", "titel:", 1))
    with pytest.raises(SettingsError, match=r"tables.yaml: title: Field required"):
        read_tables("tiny", file)
