"""`peftrec evaluate run=RUN_DIR`: score a run's checkpoint again and compare with what its record says."""

from pathlib import Path

from peftrec.cli.arguments import take_words
from peftrec.errors import RecordError, UserError

HELP = """usage: peftrec evaluate run=RUN_DIR

Rebuilds the run from its own record and checkpoint, scores the test set, and exits with 1 where the figures differ
from the recorded ones."""


def main(arguments: list[str]) -> int:
    """Print the test figures; 0 where they equal the recorded ones."""
    if set(arguments) & {"-h", "--help"}:
        print(HELP)
        return 0
    run_directory = parse(arguments)
    from peftrec.results.record import read_finished

    recorded = read_finished(run_directory).evaluation
    if recorded is None:
        raise RecordError(f"{run_directory}: the run has no test figures; train it again")
    from peftrec.training.run.pipeline import evaluate_run

    measured = evaluate_run(run_directory)
    for metric, value in measured.test.items():
        note = "" if value == recorded.test.get(metric) else f"   recorded {recorded.test.get(metric)}"
        print(f"{metric:<10} {value:.6f}{note}")
    is_equal = measured.test == recorded.test and measured.test_segments == recorded.test_segments
    print("equal to the recorded figures" if is_equal else "differs from the recorded figures")
    return 0 if is_equal else 1


def parse(arguments: list[str]) -> Path:
    """Return the run's folder. Raises UserError where something else than one `run=` is given."""
    own, others = take_words(arguments, ("run",))
    if not own:
        raise UserError(f"expected run=RUN_DIR, got {' '.join(others) or 'nothing'}")
    if others:
        raise UserError(f"expected run=RUN_DIR alone, got also {' '.join(others)}")
    return Path(own["run"])
