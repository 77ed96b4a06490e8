"""The comparison of built-in strategies measured side by side: alone, beside two busy loops, and beside a training.

    python benchmarks/beside_a_neighbour.py [--strategies full,lora,iisan,iisan_cached,id] [--rounds 7] [--users 500]

Trains each strategy for a few epochs where RUNS holds no such runs yet, then gives `peftrec measure again=true` once
for each neighbour, and prints each run's ratio to the geometric mean of all, its interval, what it is of the quiet
ratio, and the order of strategies in TPME with the row that is called best. What the machine did beside it anyway is in
the column of other processors: only where it is near nothing was a measurement quiet.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peftrec.results.comparison import compare
from peftrec.results.runs import find_runs
from peftrec.results.side_by_side import SideBySide

BUSY_LOOP = "while True: pass"
NUM_LOOPS = 2
NEIGHBOURS = ("none", "two busy loops", "a training")
TOLERANCE = 0.15


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measurement beside a neighbour."""

    parts: dict[str, SideBySide]
    order: list[str]
    """By TPME, least first."""
    best: str | None
    intervals: dict[str, tuple[float, float]]
    """Of seconds an epoch, by either clock where the machine was busy."""
    seconds: dict[str, float]


def main() -> None:
    arguments = parsed()
    with tempfile.TemporaryDirectory() as made:
        place = arguments.runs or Path(made)
        words = [
            *(f"runs_dir={place}", f"hidden_states.directory={place / 'stores'}", "trainer.accelerator=cpu"),
            *("experiment=quickstart", "trainer.max_epochs=3", f"data.num_users={arguments.users}"),
        ]
        sweep = ["train", "-m", *words, f"strategy={arguments.strategies}", "name=beside", "measure=never"]
        command(*sweep)
        found = {}
        for neighbour in NEIGHBOURS:
            with beside(neighbour, words):
                command("measure", str(place / "beside"), f"rounds={arguments.rounds}", "width=0", "again=true")
            found[neighbour] = read(place / "beside")
            print(table(neighbour, found[neighbour], found[NEIGHBOURS[0]]), flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", default="full,lora,iisan,iisan_cached,id")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--runs", type=Path, help="folder of the runs; a temporary one without it")
    return parser.parse_args()


def command(*words: str) -> None:
    """Run peftrec to its end."""
    subprocess.run([sys.executable, "-m", "peftrec", *words], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def beside(neighbour: str, words: list[str]) -> Iterator[None]:
    """Keep a neighbour at work."""
    if neighbour == "two busy loops":
        programs = [[sys.executable, "-c", BUSY_LOOP]] * NUM_LOOPS
    elif neighbour == "a training":
        long = [*words, "strategy=full", "trainer.max_epochs=10000", "evaluation.patience=10000", "name=neighbour"]
        programs = [[sys.executable, "-m", "peftrec", "train", *long, "seed=77"]]
    else:
        programs = []
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(program, **quiet) for program in programs]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def read(folder: Path) -> Measured:
    """Return what the records hold now, and what a report makes of it."""
    comparison = compare(find_runs(folder))
    assert comparison.seconds.source == "side_by_side"
    rows = {row.strategy: row for row in comparison.strategies}
    parts = {name: row.runs[0].record.side_by_side for name, row in rows.items()}
    return Measured(
        parts={name: part for name, part in parts.items() if part is not None},
        order=sorted(comparison.tpme, key=lambda name: comparison.tpme[name]),
        best=comparison.certain.least_tpme,
        intervals=dict(comparison.certain.seconds),
        seconds=dict(comparison.seconds.per_epoch),
    )


def table(neighbour: str, found: Measured, quiet: Measured) -> str:
    """Return a table in Markdown, and whether what was shown before holds."""
    lines = [
        f"Beside {neighbour}; TPME: {' < '.join(found.order)}; best: {found.best or 'none'}",
        "",
        "| strategy | ms a step | ratio | interval | to the quiet ratio | other processors |",
        "|---|---|---|---|---|---|",
    ]
    for name, part in found.parts.items():
        low, high = (end / found.seconds[name] for end in found.intervals[name])
        of_quiet = part.ratio / quiet.parts[name].ratio
        is_inside = low * of_quiet <= 1 <= high * of_quiet
        holds = "" if abs(of_quiet - 1) <= TOLERANCE else ", in the interval" if is_inside else ", beyond it"
        others = statistics.median(
            (turn.machine.other_processor_seconds or 0.0) / turn.seconds for turn in part.rounds if turn.machine
        )
        lines.append(
            f"| {name} | {1000 * part.seconds_per_step:.1f} | {part.ratio:.3f} | {low * part.ratio:.3f} to "
            f"{high * part.ratio:.3f} | {of_quiet:.2f}{holds} | {others:.1f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
