"""How long the program takes before it works: refusals, composing, a report, and from one job of a sweep to the next.

    python benchmarks/starting.py [--runs DIR] [--repeats 5]

Processor seconds, user and system together, of whole commands; medians. DIR is a folder of finished runs, such as
runs/quickstart; without it a sweep of three small runs is reported. The gap between two jobs is the time from the line
that the first has ended to the second's first epoch, without that epoch; it is measured on the same sweep, twice over.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PROGRAM = [sys.executable, "-m", "peftrec"]
COMMANDS = {
    "train strategy=lorra (refused)": ["train", "strategy=lorra"],
    "train strategy.rnak=4 (refused)": ["train", "strategy.rnak=4"],
    "train --cfg": ["train", "--cfg"],
    "train --help": ["train", "--help"],
}
SWEEP = [
    *("train", "-m", "strategy=frozen", "seed=1,2,3", "towers=tiny", "trainer=cpu", "data=synthetic"),
    *("data.num_users=64", "data.num_items=100", "trainer.max_epochs=1", "hydra.launcher.slots=1"),
]
FIRST_EPOCH = re.compile(r"\[(\d)/\d [^]]*\].*epoch 1/1: .*?([\d.]+) s$")
ENDED = re.compile(r"\[(\d)/\d [^]]*\] success after")


def processor_seconds(arguments: Sequence[str]) -> float:
    """Run a command, and return what it cost, its children included."""
    process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    return used.ru_utime + used.ru_stime


def gaps(runs_dir: Path) -> Iterator[float]:
    """Run the small sweep, and yield the seconds from the end of each job to the next one's training."""
    process = subprocess.Popen(
        [*PROGRAM, *SWEEP, f"runs_dir={runs_dir}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    ended = 0.0
    said = []
    for line in process.stdout:
        now = time.perf_counter()
        said.append(line)
        if (epoch := FIRST_EPOCH.search(line)) is not None and epoch[1] != "1":
            yield now - ended - float(epoch[2])
        elif ENDED.search(line) is not None:
            ended = now
    if process.wait():
        raise RuntimeError("".join(said))


def main() -> None:
    """Measure, and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="a folder of finished runs to report")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [gap for number in range(2) for gap in gaps(Path(folder) / str(number))]
        between = f"{statistics.median(found):.2f} s (longest {max(found):.2f})"
        print(f"from one job's end to the next one's training: {between}")
        commands = {**COMMANDS, "report": ["report", str(arguments.runs or Path(folder) / "0")]}
        costs: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.repeats):
            for name, words in commands.items():
                costs[name].append(processor_seconds(words))
    for name, seconds in costs.items():
        print(f"{name}: {statistics.median(seconds):.2f} s of processor time")


if __name__ == "__main__":
    main()
