"""The examples in the help of the verbs: lines that begin with two spaces and `peftrec`, as a shell reads them."""

import shlex

from peftrec.cli.arguments import Grammar
from peftrec.cli.main import FIRST_STEPS, VERBS, grammar_of

FIRST_STEPS_HELP = "peftrec"


def helps() -> dict[str, str]:
    """Return the help of each verb, of what has a help of its own below one, and of the command itself."""
    from peftrec.cli import images_fetch

    grammars = {verb: grammar_of(verb) for verb in VERBS} | {"images fetch": images_fetch.GRAMMAR}
    return {FIRST_STEPS_HELP: FIRST_STEPS} | {name: help_of(grammar) for name, grammar in grammars.items()}


def help_of(grammar: Grammar) -> str:
    return grammar.help if isinstance(grammar.help, str) else grammar.help()


def examples_in(text: str) -> list[list[str]]:
    """Return the words after `peftrec` of each example."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("  peftrec ")]
