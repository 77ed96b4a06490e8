"""Stands in for `peftrec.jobs.job`: the second process runs out of memory in the second epoch."""

import sys
from typing import Any

from peftrec.jobs.attaching import attach
from peftrec.jobs.job import main
from peftrec.training.module import RecommenderModule

original = RecommenderModule.training_step


def fail_in_second_epoch(self: RecommenderModule, batch: Any, batch_idx: int) -> Any:
    if self.processes.rank == 1 and self.current_epoch == 1:
        raise MemoryError("of the second process")
    return original(self, batch, batch_idx)


if __name__ == "__main__":
    attach()
    RecommenderModule.training_step = fail_in_second_epoch  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
