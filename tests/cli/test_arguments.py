"""Words of a command line, sorted in one way for all verbs."""

from pathlib import Path

import pytest

from peftrec.cli.arguments import JSON, SWEEP, Arguments, Grammar, read_arguments
from peftrec.code import user_code
from peftrec.errors import SettingsError

GRAMMAR = Grammar(
    verb="verb",
    help="usage: verb",
    flags=SWEEP | {JSON},
    options={"--published": "PAPER"},
    keys=("run", "merge"),
    required={"run": "RUN_DIR"},
    leaves_others=True,
)


def sort(*words: str) -> Arguments:
    given = read_arguments(GRAMMAR, words)
    assert given is not None
    return given


def test_every_word_has_its_place() -> None:
    given = sort("run=a=b", "-m", "profile.k=4", "--published", "iisan", "--json", "place")
    assert given.own == {"run": "a=b"}
    assert given.others == ["profile.k=4", "place"]
    assert given.options == {"--published": "iisan"}
    assert given.is_sweep
    assert given.wants_json
    same = sort("run=x", "--published=iisan")
    assert same.options == {"--published": "iisan"}
    assert not same.is_sweep
    assert not same.wants_json


@pytest.mark.parametrize("words", [["-h"], ["run=x", "--help"]])
def test_help_is_printed_and_nothing_else_done(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert read_arguments(GRAMMAR, words) is None
    assert capsys.readouterr().out == "usage: verb\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run="], "run=: give run a value"),
        (["run=x", "run=y"], "run=y: run is given twice"),
        (["merge=true"], "run is required: set run=RUN_DIR"),
        (["run=x", "--jsn"], "unknown flag --jsn; did you mean --json?"),
        (["run=x", "--yaml"], "unknown flag --yaml; see peftrec verb --help"),
        (["run=x", "--published"], "--published: give it one PAPER: --published PAPER"),
    ],
)
def test_a_mistake_names_the_word_and_the_remedy(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_arguments(GRAMMAR, words)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("rum=x", "rum=x: unknown to peftrec verb; did you mean run?"),
        ("elsewhere", "elsewhere: unknown to peftrec verb; see peftrec verb --help"),
    ],
)
def test_a_verb_that_reads_all_words_itself_refuses_others(word: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_arguments(Grammar(verb="verb", help="", keys=("run",)), ["run=a", word])
    assert str(caught.value) == message


def test_a_switch_is_true_or_false() -> None:
    assert sort("run=x", "merge=true").switch("merge")
    assert not sort("run=x", "merge=false").switch("merge")
    assert not sort("run=x").switch("merge")
    with pytest.raises(SettingsError, match="merge=yes: expected true or false"):
        sort("run=x", "merge=yes").switch("merge")


def test_folders_of_the_users_own_are_named_by_the_command_alone(tmp_path: Path) -> None:
    code, config = tmp_path / "code", tmp_path / "config"
    for folder in (code, config):
        folder.mkdir()
    grammar = Grammar(verb="verb", help="", runs_user_code=True)
    assert read_arguments(grammar, [f"code={code}", "--config-dir", str(config)]) is not None
    assert user_code.sources().folders == (code, config)
    assert user_code.config_folders() == (config,)
    assert read_arguments(grammar, []) is not None
    assert user_code.sources().folders == (), "the next command names none"
    with pytest.raises(SettingsError, match="nowhere: no such folder"):
        read_arguments(grammar, ["code=nowhere"])
