"""`peftrec evaluate run=RUN_DIR`: score a run's checkpoint again and compare with what its record says."""

from peftrec.cli.arguments import Grammar, read_arguments
from peftrec.errors import RecordError
from peftrec.serving.content_weight import CONTENT_NEIGHBOURS, VALUES, content_weight

HELP = """usage: peftrec evaluate run=RUN_DIR [content_neighbours=auto|WEIGHT] [data.root=DIR] [code=DIR]

Rebuilds the run from its own record and checkpoint, scores the test set, and exits with 1 where the figures differ
from the recorded ones.

  run=RUN_DIR     the run's folder, runs/first/lora-0123456789ab; runs/first/lora where one run alone is called so
  content_neighbours=auto
                  rank the test users a second time, with what `peftrec recommend content_neighbours=auto` adds to
                  their scores, and print all, warm and cold targets with it and without; a number is the weight
  data.root=DIR   where the run's data lies now, if it moved; so for towers.*.checkpoint and hidden_states.directory

examples:
  peftrec train name=first strategy=iisan_cached trainer.max_epochs=2
  peftrec evaluate run=runs/first/iisan_cached
  peftrec evaluate run=runs/first/iisan_cached content_neighbours=auto"""


GRAMMAR = Grammar(
    verb="evaluate",
    help=HELP,
    keys=("run", CONTENT_NEIGHBOURS),
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
    from peftrec.results.record import read_finished

    recorded = read_finished(run_directory).evaluation
    if recorded is None:
        raise RecordError(f"{run_directory}: the run has no test figures; train it again")
    from peftrec.serving.loaded_run import LoadedRun
    from peftrec.training.run.pipeline import evaluate_restored

    run = LoadedRun(directory=run_directory, overrides=given.places)
    tried = "" if asked == "off" else f"\n{run.evaluate_content_neighbours(asked).to_text()}"
    measured = evaluate_restored(run.restored)
    for metric, value in measured.test.items():
        note = "" if value == recorded.test.get(metric) else f"   recorded {recorded.test.get(metric)}"
        print(f"{metric:<10} {value:.6f}{note}")
    is_equal = measured.test == recorded.test and measured.test_segments == recorded.test_segments
    print("equal to the recorded figures" if is_equal else "differs from the recorded figures")
    print(tried, end="")
    return 0 if is_equal else 1
