"""The help: each verb has one, and its examples are commands that this program takes."""

import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from help_examples import examples_in, helps
from peftrec.cli import images_fetch
from peftrec.cli import main as cli
from peftrec.cli.arguments import SWEEP, Arguments, Grammar, read_arguments
from peftrec.cli.retrieval import PROTOCOL
from peftrec.config.fields import fields_of
from peftrec.profiles.evaluation import Protocol
from peftrec.tuning.settings import Budget, TuneSettings

HELPS = helps()
CLI = Path(cli.__file__).parent
OWN_DATA = ("DIR", "items.csv", "posters")
"""Words of examples that are about the reader's own files."""
DEAR = "towers=bert_vit_base_random"
ENDLESS = "serve "
"""Words of examples that a test only composes."""


def on_built_in_data(command: str) -> bool:
    return not any(name in command for name in (*OWN_DATA, DEAR, ENDLESS))


def test_every_module_with_a_grammar_is_a_verb_and_every_verb_has_one() -> None:
    with_grammar = {
        path.stem for path in CLI.glob("*.py") if hasattr(import_module(f"peftrec.cli.{path.stem}"), "GRAMMAR")
    }
    assert with_grammar - {"images_fetch"} == set(cli.VERBS)
    assert {verb: cli.grammar_of(verb).verb for verb in cli.VERBS} == {verb: verb for verb in cli.VERBS}


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_verb_is_verb_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: peftrec {verb}")
    assert cli.main(["help", verb]) == 0
    assert capsys.readouterr().out == shown
    assert max(map(len, shown.splitlines()[:3])) <= 120, "the usage is as wide as a terminal"


def test_help_goes_on_to_an_action(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help", "images", "fetch"]) == 0
    assert capsys.readouterr().out.startswith("usage: peftrec images fetch")


def test_help_of_an_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help", "trian"]) == 2
    assert capsys.readouterr().err == "error: unknown verb trian; did you mean train?\n"


def test_a_verb_of_another_program_is_answered_with_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "runs/first"]) == 2
    assert capsys.readouterr().err == "error: unknown verb compare; write report\n"
    assert not set(cli.VERB_OF) & set(cli.VERBS)
    assert {verb.split()[0] for verb in cli.VERB_OF.values()} <= set(cli.VERBS)


@pytest.mark.parametrize("name", HELPS)
def test_every_help_has_examples(name: str) -> None:
    examples = examples_in(HELPS[name])
    assert examples
    assert all(words[0] in cli.VERBS for words in examples)
    assert any(words[: len(name.split())] == name.split() for words in examples) or name == "peftrec"


def test_the_first_example_teaches_the_experiments_name() -> None:
    for name in ("peftrec", "train"):
        assert "name=first" in examples_in(HELPS[name])[0]


COMMANDS = list(dict.fromkeys(shlex.join(words) for text in HELPS.values() for words in examples_in(text)))


@pytest.mark.integration
@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_parses_and_composes(command: str) -> None:
    words = shlex.split(command)
    grammar, rest = (
        (images_fetch.GRAMMAR, words[2:]) if words[:2] == ["images", "fetch"] else (cli.grammar_of(words[0]), words[1:])
    )
    given = read_arguments(grammar, rest)
    assert given is not None
    compose(grammar, given)


def compose(grammar: Grammar, given: Arguments) -> None:
    """Compose the words that are of a configuration, as the verb does."""
    from peftrec.config.composition import compose_parts
    from peftrec.jobs.sweep import expand_sweep
    from peftrec.profiles.settings import ProfileSettings
    from peftrec.series.settings import ClassifySettings
    from peftrec.tuning.candidates import compose_candidates
    from peftrec.tuning.tuning import read_words

    words = [word for word in given.others if "=" in word]
    if grammar.verb in ("train", "plan", "cache"):
        jobs = expand_sweep(words)
        assert given.flags & SWEEP or len(jobs) == 1
    elif grammar.verb == "tune":
        tuning, others = read_words(words)
        compose_candidates(others, tuning)
    elif grammar.verb in ("recommend", "retrieval"):
        compose_parts(ProfileSettings, words, folder="profiles", is_sweep=False)
    elif grammar.verb == "classify":
        compose_parts(ClassifySettings, words, folder="series", is_sweep=False)
    elif grammar.verb == "groups":
        from peftrec.user_groups.settings import GroupsSettings

        compose_parts(GroupsSettings, [f"run={given.own['run']}", *words], folder="groups")
    elif grammar.verb == "coldstart":
        from peftrec.cold_start.cold_items import ColdItemsSettings
        from peftrec.cold_start.experiment import ColdStartSettings

        if "run" in given.own:
            compose_parts(ColdItemsSettings, [f"run={given.own['run']}", *words], folder="cold_items")
        else:
            compose_parts(ColdStartSettings, words, folder="cold_start")


def test_grammars_name_the_keys_of_settings_that_take_a_while_to_import() -> None:
    assert set(PROTOCOL) == set(fields_of(Protocol))
    budget = {f"budget.{name}" for name in fields_of(Budget)}
    assert set(cli.grammar_of("tune").beside) == {*fields_of(TuneSettings), *budget} - {"budget"}


@pytest.mark.slow
@pytest.mark.timeout(3600)  # thirty commands, each a program of its own
def test_the_examples_run_one_after_the_other(tmp_path: Path) -> None:
    """Of all helps in one folder, each once: what one example makes, those behind it read."""
    for command in filter(on_built_in_data, COMMANDS):
        done = subprocess.run(
            [sys.executable, "-m", "peftrec", *shlex.split(command)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"peftrec {command}\n{done.stderr}"
