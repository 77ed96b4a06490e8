"""`peftrec evaluate run=RUN_DIR`: score a run's checkpoint again and compare with what its record says."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from peftrec.cli.arguments import Grammar, read_arguments
from peftrec.errors import RecordError, SettingsError
from peftrec.serving.content_weight import CONTENT_NEIGHBOURS, VALUES, content_weight

GROUPS = "groups"
HELP = """usage: peftrec evaluate run=RUN_DIR [content_neighbours=auto|WEIGHT] [groups=NUMBER]
                        [data.root=DIR] [code=DIR]

Rebuilds the run from its own record and checkpoint, scores the test set, and exits with 1 where the figures differ
from the recorded ones.

  run=RUN_DIR     the run's folder, runs/first/lora-0123456789ab; runs/first/lora where one run alone is called so
  content_neighbours=auto
                  rank the test users a second time, with what `peftrec recommend content_neighbours=auto` adds to
                  their scores, and print all, warm and cold targets with it and without; a number is the weight
  groups=NUMBER   score a finished division of the run's users (peftrec groups), each by the weights of the own group,
                  and compare with what it recorded; of several with that number name the folder in RUN_DIR/groups
  data.root=DIR   where the run's data lies now, if it moved; so for towers.*.checkpoint and hidden_states.directory

examples:
  peftrec train name=first strategy=iisan_cached trainer.max_epochs=2
  peftrec evaluate run=runs/first/iisan_cached
  peftrec evaluate run=runs/first/iisan_cached content_neighbours=auto"""


GRAMMAR = Grammar(
    verb="evaluate",
    help=HELP,
    keys=("run", CONTENT_NEIGHBOURS, GROUPS),
    required={"run": "RUN_DIR"},
    among={CONTENT_NEIGHBOURS: VALUES},
    takes_places=True,
    runs_user_code=True,
)


def main(arguments: list[str]) -> int:
    """Print the test figures; 0 where they equal the recorded ones."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    run_directory, asked = given.run, content_weight(given.own)
    if GROUPS in given.own:
        if asked != "off":
            raise SettingsError(f"{GROUPS}= and {CONTENT_NEIGHBOURS}= are evaluated apart; leave one of the two out")
        return _division(run_directory, given.own[GROUPS], given.places)
    from peftrec.results.record import ANEW, read_finished

    recorded = read_finished(run_directory).evaluation
    if recorded is None:
        raise RecordError(f"{run_directory}: the run has no test figures; {ANEW}")
    from peftrec.serving.loaded_run import LoadedRun
    from peftrec.training.run.pipeline import evaluate_restored

    run = LoadedRun(directory=run_directory, overrides=given.places)
    tried = "" if asked == "off" else f"\n{run.evaluate_content_neighbours(asked).to_text()}"
    measured = evaluate_restored(run.restored)
    _show(measured.test, recorded.test)
    is_equal = measured.test == recorded.test and measured.test_segments == recorded.test_segments
    status = _verdict(is_equal)
    print(tried, end="")
    return status


def _division(run_directory: Path, name: str, places: Sequence[str]) -> int:
    from peftrec.results.record import read_finished

    read_finished(run_directory)
    from peftrec.results.divisions import read_result
    from peftrec.user_groups.named_division import named_division

    folder = named_division(run_directory, name)
    recorded = read_result(folder).test
    from peftrec.progress.quiet import quieten_libraries
    from peftrec.training.run.restored_run import restore_run
    from peftrec.user_groups.answering import evaluate_division

    quieten_libraries()
    measured = evaluate_division(restore_run(run_directory, places), folder)
    _show(measured, recorded)
    return _verdict(measured == recorded)


def _show(measured: Mapping[str, float], recorded: Mapping[str, float]) -> None:
    for metric, value in measured.items():
        note = "" if value == recorded.get(metric) else f"   recorded {recorded.get(metric)}"
        print(f"{metric:<10} {value:.6f}{note}")


def _verdict(is_equal: bool) -> int:
    print("equal to the recorded figures" if is_equal else "differs from the recorded figures")
    return 0 if is_equal else 1
