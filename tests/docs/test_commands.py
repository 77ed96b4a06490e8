"""Every command of every page is read as the program reads it.

A command of `peftrec` goes through its own verb up to the point where the words are sorted, so that an unknown verb,
flag or word is the verb's own error. Words that make a configuration are then composed and checked, which needs no
data: of a sweep, the first value of each word, and of the other options that their yaml files exist. Commands that name
a folder of code are not composed: what stands in it is not known here.
"""

import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence

import pytest
from markdown_pages import REPOSITORY, blocks, indented_commands, pages

from peftrec.cli import arguments, main
from peftrec.cli.arguments import Arguments, Grammar
from peftrec.cold_start.cold_items import ColdItemsSettings
from peftrec.cold_start.experiment import ColdStartSettings
from peftrec.config.composition import compose_part
from peftrec.errors import SettingsError
from peftrec.paper_tables.declared import find_table
from peftrec.profiles.settings import ProfileSettings
from peftrec.series.settings import ClassifySettings
from peftrec.settings.composition import compose_settings
from peftrec.tuning.tuning import read_words
from peftrec.user_groups.settings import GroupsSettings

pytestmark = pytest.mark.integration

MAYBE_MISSING = {
    ".",
    "cd",
    "chromium",
    "curl",
    "find",
    "git",
    "mlflow",
    "pip",
    "pytest",
    "sbatch",
    "source",
    "tensorboard",
    "wandb",
    "wget",
}
"""Programs that pages call and that this machine, or this environment's search path, may not have."""
OWN_CODE = ("--config-dir", "code=")
CONF = REPOSITORY / "conf"


COMPOSED: set[str] = set()
"""Words that were composed before: a command of these alone says nothing new, and composing takes its time."""


class Sorted(Exception):  # noqa: N818  # no error
    """The words of a command, where its verb has sorted them."""


def shell_lines() -> Iterator[tuple[str, str]]:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        name = page.relative_to(REPOSITORY).as_posix()
        for block in blocks(text):
            if block.language == "sh":
                yield from ((name, line) for line in block.commands())
        yield from ((name, line) for line in indented_commands(text))


LINES = list(dict.fromkeys(shell_lines()))


@pytest.fixture(autouse=True)
def _verbs_stop_when_words_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    read = arguments.read_arguments

    def sort(grammar: Grammar, words: Sequence[str]) -> None:
        if (given := read(grammar, words)) is not None:
            raise Sorted(given)

    for verb in (*main.VERBS, "images_fetch"):
        monkeypatch.setattr(f"peftrec.cli.{verb}.read_arguments", sort)
    monkeypatch.setattr(arguments, "_open_door", lambda code, config: None)


def words_of(line: str) -> list[str]:
    """Return the words of a command: what it gives to a file or another program is not its own, and what another
    program fills in is a number. Three dots stand for more of the same."""
    words = [word for word in shlex.split(re.sub(r"\$\([^)]*\)", "1", line)) if word != "..."]
    ends = [place for place, word in enumerate(words) if word in ("|", ">", "<", "&")]
    return words[: ends[0]] if ends else words


def test_there_are_commands() -> None:
    assert len([line for _, line in LINES if line.startswith("peftrec ")]) > 50


def test_every_line_is_a_known_command() -> None:
    """A program that neither this machine has nor the list above names is a typo."""
    assignment = re.compile(r"[A-Z_]+=")
    firsts = {words_of(line)[0] for _, line in LINES if not assignment.match(line)}
    assert not [name for name in firsts - MAYBE_MISSING - {"peftrec", "make"} if shutil.which(name) is None]


def test_make_has_every_target(capsys: pytest.CaptureFixture[str]) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    tables = re.search(r"^TABLES := (.*)$", makefile, re.MULTILINE)
    assert tables is not None
    targets = {*re.findall(r"^([a-z-]+):", makefile, re.MULTILINE), *(f"table-{name}" for name in tables[1].split())}
    asked = {word for _, line in LINES if line.startswith("make ") for word in words_of(line)[1:] if "=" not in word}
    assert asked <= targets


@pytest.mark.parametrize("verb", sorted(main.VERBS))
def test_every_command_of_a_verb_is_one_that_it_takes(verb: str) -> None:
    for page, line in LINES:
        words = words_of(line)
        if words[:2] == ["peftrec", verb]:
            try:
                main.run(verb, words[2:])
            except Sorted as sorted_words:
                check(verb, sorted_words.args[0], line)
            except Exception as error:
                raise AssertionError(f"{page}: {line}: {error}") from error


def check(verb: str, given: Arguments, line: str) -> None:
    """Compose what a verb would compose."""
    if any(word in line for word in OWN_CODE) or verb not in COMPOSES:
        return
    first = [word for word in map(first_value, given.others) if "=" in word]
    if not set(first) <= COMPOSED:
        COMPOSES[verb](first)
        COMPOSED.update(first)
    for word in given.others:
        group, _, values = word.partition("=")
        if (CONF / group).is_dir() and (CONF / group / "..").resolve() == CONF:
            assert all((CONF / group / f"{value}.yaml").exists() for value in values.strip("[]").split(",")), (
                f"{line}: {word}"
            )


def first_value(word: str) -> str:
    key, equals, value = word.partition("=")
    return word if value[:1] in tuple("[{'\"") else f"{key}{equals}{value.split(',')[0]}"


def compose_tuning(words: Sequence[str]) -> None:
    settings, others = read_words(words)
    assert settings.final_seeds
    compose_settings(others)


def compose_cold_start(words: Sequence[str]) -> None:
    if any(word.startswith("run=") for word in words):
        compose_part(ColdItemsSettings, words, folder="cold_items")
    else:
        compose_part(ColdStartSettings, words, folder="cold_start")


def compose_profile(words: Sequence[str]) -> None:
    compose_part(ProfileSettings, words, folder="profiles")


COMPOSES: dict[str, Callable[[Sequence[str]], object]] = {
    "train": compose_settings,
    "plan": compose_settings,
    "cache": compose_settings,
    "tune": compose_tuning,
    "coldstart": compose_cold_start,
    "groups": lambda words: compose_part(GroupsSettings, ["run=RUN_DIR", *words], folder="groups"),
    "classify": lambda words: compose_part(ClassifySettings, words, folder="series"),
    "recommend": compose_profile,
    "retrieval": compose_profile,
}


def test_every_table_that_is_asked_for_is_declared() -> None:
    names = [words_of(line)[2] for _, line in LINES if line.startswith("peftrec table ")]
    assert all(find_table(name, "tiny") for name in names if "=" not in name)


def test_a_command_that_the_program_would_refuse_is_found() -> None:
    given = Arguments(flags=frozenset(), options={}, own={}, others=["strategy=lora", "strategy.rnak=4"])
    with pytest.raises(SettingsError, match=r"did you mean strategy\.rank"):
        check("train", given, "peftrec train strategy=lora strategy.rnak=4")
    with pytest.raises(AssertionError):
        check("train", Arguments(flags=frozenset(), options={}, own={}, others=["strategy=lora,lorra"]), "")
