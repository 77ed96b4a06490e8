"""`peftrec measure RUNS_DIR`: steps of all runs of a folder timed in turns, and written into their records."""

from pathlib import Path

from peftrec.cli.arguments import SWITCH, Grammar, read_arguments
from peftrec.measuring.request import KEYS, MeasureRequest

HELP = """usage: peftrec measure RUNS_DIR [rounds=7] [width=0.1] [again=true] [seed=1] [code=DIR] [--config-dir DIR]

  rounds=7     how often every run takes its turn, at most: 5 or more
  width=0.1    fewer where the 95 % interval of every run's ratio to the others is this narrow: its ends 10 % apart
  again=true   also what is measured already, by the same code, under the same conditions
  seed=1       of the order, which is drawn anew for each round

Trains the same few steps of one run of each row in turns, a process each, where one computes and the others sleep, and
writes what they cost into the records, beside what training measured. What else the machine does is then in all of a
round's times, and leaves their ratios alone. `peftrec report RUNS_DIR` takes these costs where every row has them.

examples:
  peftrec train -m name=seeds strategy=frozen_cached,iisan_cached seed=1,2 trainer.max_epochs=2 measure=never
  peftrec measure runs/seeds rounds=5"""
GRAMMAR = Grammar(
    verb="measure",
    help=HELP,
    keys=KEYS,
    values={"again": SWITCH},
    otherwise_called=dict.fromkeys(
        ("iterations", "n", "repeat", "repeats", "repetitions", "turns"), "rounds=7 (5 or more)"
    ),
    leaves_others=True,
    runs_user_code=True,
    needs_words=True,
)


def main(arguments: list[str]) -> int:
    """Measure a folder of runs and print each one's ratio."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    request = MeasureRequest.of(Path(given.only("RUNS_DIR", GRAMMAR)), given.own, again=given.switch("again"))
    from peftrec.measuring.measuring import measure
    from peftrec.measuring.summary import summary

    print(summary(request.folder, measure(request)), end="")
    return 0
