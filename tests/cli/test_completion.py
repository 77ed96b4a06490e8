"""Completion: what may follow is what the verbs take, it is known without torch, and the shells are told so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.cli.completing import complete
from peftrec.cli.completion import SCRIPTS
from peftrec.config.folder import config_directory
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import settings_to_config
from peftrec.settings.run_identity import flat_config

HEAVY = {"torch", "transformers", "peft", "lightning", "hydra", "pandas"}


def test_verbs() -> None:
    assert set(complete([""])) >= {*cli.VERBS, "help", "--help", "--version"}
    assert complete(["tra"]) == ["train"]
    assert complete(["help", "cl"]) == ["classify", "clean"]
    assert complete(["nothing", ""]) == []


@pytest.mark.parametrize("verb", cli.VERBS)
def test_flags_are_those_of_the_grammar(verb: str) -> None:
    grammar = cli.grammar_of(verb)
    assert {*grammar.flags, *grammar.options} < set(complete([verb, "-"]))
    assert set(grammar.actions) <= set(complete([verb, ""]))
    assert {f"{key}=" for key in grammar.keys} <= set(complete([verb, ""]))


def test_options_are_the_yaml_files_also_behind_a_comma() -> None:
    names = sorted(path.stem for path in (config_directory() / "strategy").glob("*.yaml"))
    assert complete(["train", "strategy="]) == [f"strategy={name}" for name in names]
    assert complete(["train", "-m", "strategy=full,bit"]) == ["strategy=full,bitfit"]
    assert complete(["train", "-m", "strategy=bitfit,bit"]) == [], "each option once"
    assert complete(["train", "learning_rates=paper/l"]) == [
        "learning_rates=paper/lora",
        "learning_rates=paper/lora_published",
    ]
    assert complete(["coldstart", "pairs="]) == ["pairs=citeulike", "pairs=lastfm"]


@pytest.mark.parametrize("words", [[], ["strategy=lora"], ["data=movielens", "data.root=x"], ["towers=bert_vit_base"]])
def test_every_key_of_a_configuration_is_completed(words: list[str]) -> None:
    keys = set(flat_config(settings_to_config(compose_settings(words))))
    dotted = {key for key in keys if "." in key and "_target_" not in key}
    found = {
        word.removesuffix("=")
        for group in {key.partition(".")[0] for key in dotted}
        for word in complete(["train", *words, f"{group}."])
    }
    assert dotted - found == set()
    top = {key for key in keys if "." not in key} - {"strategy_name"}
    assert top - {word.removesuffix("=") for word in complete(["train", *words, ""])} <= {"image_projection", "reuse"}


def test_values_that_a_type_lists() -> None:
    assert complete(["train", "trainer.accelerator="]) == [
        f"trainer.accelerator={name}" for name in ("auto", "cpu", "gpu", "mps")
    ]
    assert complete(["plan", "trainer.compile=t"]) == ["trainer.compile=true"]
    assert complete(["train", "measure=a"]) == ["measure=auto", "measure=always"]
    assert complete(["train", "seed="]) == [], "the shell's own"


def test_folders_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/first/lora-0", "runs/first/full-0", "elsewhere/x"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "record.json").touch()
    (tmp_path / "runs/first/report").mkdir()
    assert complete(["evaluate", "run="]) == ["run=elsewhere/x", "run=runs/first/full-0", "run=runs/first/lora-0"]
    assert complete(["evaluate", "run=runs/first/l"]) == ["run=runs/first/lora-0"]
    assert complete(["export", f"run={tmp_path}/runs/first/f"]) == [f"run={tmp_path}/runs/first/full-0"]
    assert complete(["train", "run="]) == [], "a verb that takes no run"


def test_completing_imports_nothing_slow() -> None:
    program = (
        "import sys; from peftrec.cli.completing import complete\n"
        "complete(['train', '']); complete(['train', 'strategy=l'])\n"
        "assert 'pydantic' not in sys.modules; complete(['train', 'strategy=lora', 'strategy.'])\n"
        f"print({HEAVY} & set(sys.modules) or '')"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def asked_of_a_shell(shell: str, line: str, tmp_path: Path) -> list[str]:
    """Return what a shell, with the script and this program, completes a line to."""
    script, home = tmp_path / "script", tmp_path / "bin"
    home.mkdir()
    script.write_text(SCRIPTS[shell], encoding="utf-8")
    (home / "peftrec").write_text(f'#!/bin/sh\nexec {sys.executable} -m peftrec "$@"\n', encoding="utf-8")
    (home / "peftrec").chmod(0o755)
    ask = {
        "bash": f'source {script}; COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}}; compopt() {{ :; }}; _peftrec; '
        'printf "%s\\n" "${COMPREPLY[@]}"',
        "zsh": f"compdef() {{ :; }}; compadd() {{ local name=${{@[-1]}}; print -l -- ${{(P)name}} }}; source {script}; "
        f'line="{line}"; words=(${{=line}}); CURRENT=$#words; PREFIX=$words[-1]; _peftrec',
        "fish": f'source {script}; complete -C "{line}"',
    }[shell]
    environment = {**os.environ, "PATH": f"{home}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run([shell, "-c", ask], env=environment, check=True, capture_output=True, text=True)
    return sorted(done.stdout.split())


@pytest.mark.parametrize("shell", SCRIPTS)
@pytest.mark.parametrize(
    ("line", "answers"),
    [("peftrec tra", ["train"]), ("peftrec train -m strategy=full,bit", ["strategy=full,bitfit"])],
)
def test_a_shell_completes(shell: str, line: str, answers: list[str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    if shell == "bash":  # it takes what stands before = for another word
        answers = [answer.rpartition("=")[2] for answer in answers]
    assert asked_of_a_shell(shell, line, tmp_path) == answers


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "fsh"]) == 2
    assert capsys.readouterr().err == "error: completion fsh: did you mean fish?\n"
