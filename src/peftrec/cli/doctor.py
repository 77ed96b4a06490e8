"""`peftrec doctor`: what of this installation and machine is good for what."""

from collections import defaultdict

from peftrec.cli.arguments import JSON, Grammar, read_arguments
from peftrec.outputs.safe_text import for_json

HELP = """usage: peftrec doctor [--json]

Says first whether runs work here, with a remedy for what is in their way, and then what that stands on: versions
against what is required, extras and the verbs that need them, devices, threads, memory, room on disks, folders of
caches, and variables that change what a run does. Of tokens and passwords it only says that they are set.

  --json   print JSON alone; its keys: docs/command_line.md

The exit status is 1 where something is in the way; a missing extra is not.

examples:
  peftrec doctor
  peftrec doctor --json
"""
GRAMMAR = Grammar(verb="doctor", help=HELP, flags=frozenset({JSON}))


def main(arguments: list[str]) -> int:
    """Print the diagnosis; 1 where something keeps runs from working."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    from peftrec.doctor.diagnosis import diagnose

    diagnosis = diagnose(uses_of_extras())
    print(for_json(diagnosis.to_json()) if given.wants_json else diagnosis.to_text().rstrip("\n"))
    return 0 if diagnosis.is_good else 1


def uses_of_extras() -> dict[str, dict[str, str]]:
    """Return, by extra, the verbs that need it and for what, as their grammars say."""
    from peftrec.cli.main import VERBS, grammar_of

    found: dict[str, dict[str, str]] = defaultdict(dict)
    found["testing"]["pytest --pyargs peftrec.testing"] = "contract tests of your own parts"
    for verb in VERBS:
        for extra, use in grammar_of(verb).extras.items():
            found[extra][verb] = use
    return dict(found)
