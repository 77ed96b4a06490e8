"""Trains up to the middle of an epoch and waits there to be killed; a file beside `runs_dir` tells that it is there.

`python -m waits_in_training train ...` is the program. As the module of a sweep's jobs, the one of
seed 2 waits.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

from peftrec.cli.main import main as command
from peftrec.jobs.attaching import attach
from peftrec.jobs.job import main as job
from peftrec.training.module import RecommenderModule

STEP = 10
"""In the third epoch, where an epoch has four steps."""
SEED_OF_THE_SWEEP = 2


def sign_of(runs_dir: Path) -> Path:
    return runs_dir.with_name(f"{runs_dir.name} waits")


def wait_in_training(runs_dir: Path) -> None:
    original = RecommenderModule.training_step

    def step_or_wait(self: RecommenderModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step == STEP:
            sign_of(runs_dir).touch()
            while True:
                signal.pause()
        return original(self, batch, batch_idx)

    RecommenderModule.training_step = step_or_wait  # type: ignore[method-assign]


def main(arguments: list[str]) -> int:
    if arguments[0] == "train":
        (runs_dir,) = (word.removeprefix("runs_dir=") for word in arguments if word.startswith("runs_dir="))
        wait_in_training(Path(runs_dir))
        return command(arguments)
    attach()
    config = json.loads(Path(arguments[0]).read_text())["config"]
    if config["seed"] == SEED_OF_THE_SWEEP:
        wait_in_training(Path(config["runs_dir"]))
    return job(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
