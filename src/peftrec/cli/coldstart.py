"""`peftrec coldstart`: rank for items or users without history, and complete the cold items of a finished run."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from peftrec.cli.arguments import RUN, SWEEP, Composed, Grammar, read_arguments
from peftrec.errors import UserError
from peftrec.files import try_writing
from peftrec.settings.places import is_place_word

HELP = """usage: peftrec coldstart [-m] pairs=citeulike|lastfm pairs.root=DIR [model=NAME] [KEY=VALUE ...]
       peftrec coldstart run=RUN_DIR [KEY=VALUE ...]

The first form trains a method on the pair files of a published split, ranks for cold items (citeulike) or cold users
(lastfm), writes runs/cold_start/SPLIT/MODEL-HASH.json, and prints the table of what lies there. With -m, values
separated by commas make a set; finished jobs are not run again.

  model   heater, heater_without_experts, heater_without_constraint, heater_without_both, content_neighbours,
          popularity

The second form learns from the warm items of a finished sequential run how their embeddings follow from their content,
gives the cold items embeddings that way, ranks the run's test users again, and writes cold_items.json beside its
record. Keys are those of conf/cold_items/config.yaml; data.root=DIR says where the run's data lies now, if it moved.

examples:
  peftrec train name=first strategy=iisan_cached trainer.max_epochs=2
  peftrec coldstart run=runs/first/iisan_cached epochs=5
  peftrec coldstart -m pairs=citeulike pairs.root=DIR model=heater,content_neighbours,popularity seed=1,2,3
"""
GRAMMAR = Grammar(
    verb="coldstart",
    help=HELP,
    flags=SWEEP,
    keys=(RUN,),
    leaves_others=True,
    composes=Composed(folder="cold_start"),
    needs_words=True,
    runs_user_code=True,
    extras={"cold-start": "pairs=citeulike"},
)


def main(arguments: list[str]) -> int:
    """Do what the words say."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    if RUN in given.own:
        places = [word for word in given.others if is_place_word(word)]
        words = [f"{RUN}={given.own[RUN]}", *(word for word in given.others if word not in places)]
        return complete(given.run, words, places)
    return compare(given.others, is_sweep=given.is_sweep)


def compare(words: Sequence[str], *, is_sweep: bool) -> int:
    """Run the jobs that are not finished, and print the table of their folders."""
    from peftrec.cold_start.experiment import ColdStartSettings, Job
    from peftrec.config.composition import compose_parts
    from peftrec.config.instantiate import describe_part

    jobs = [
        Job(settings, describe_part(settings, ColdStartSettings), settings.pairs.content_hash())
        for settings in compose_parts(ColdStartSettings, words, folder="cold_start", is_sweep=is_sweep)
    ]
    from peftrec.cold_start.result import former_answer, read_result, to_markdown

    for job in jobs:
        if job.path.exists():
            print(f"finished before: {job.path}", file=sys.stderr)
        elif (former := former_answer(job.settings.directory, job.question_hash)) is not None:
            print(f"{former[0]}: {job.code.explain(former[1])}", file=sys.stderr)
    for directory in dict.fromkeys(job.settings.directory for job in jobs if not job.path.exists()):
        try:
            try_writing(directory)
        except OSError as error:
            raise UserError(
                f"{directory}: results cannot be written there ({error.strerror}); set runs_dir=DIR to a folder that "
                "can be, then give the same command again"
            ) from error
    for pairs, group in groupby((job for job in jobs if not job.path.exists()), key=lambda job: job.settings.pairs):
        data = pairs.read()
        for job in group:
            job.run(data)
            print(f"written: {job.path}", file=sys.stderr)
    folders = dict.fromkeys(job.settings.directory for job in jobs)
    print(to_markdown([read_result(path) for folder in folders for path in sorted(folder.glob("*.json"))]), end="")
    return 0


def complete(run: Path, words: Sequence[str], places: Sequence[str]) -> int:
    """Give a run's cold items embeddings from their content, and print what that changes."""
    from peftrec.results.record import read_finished

    read_finished(run)  # before what takes seconds to import
    from peftrec.cold_start.cold_items import ColdItemsSettings
    from peftrec.config.composition import compose_part
    from peftrec.config.instantiate import describe_part

    settings = replace(compose_part(ColdItemsSettings, words, folder="cold_items"), run=str(run))
    from peftrec.cold_start.completion import complete_run, to_markdown
    from peftrec.progress.quiet import quieten_libraries

    quieten_libraries()
    print(to_markdown(complete_run(settings, describe_part(settings, ColdItemsSettings), places)), end="")
    return 0
