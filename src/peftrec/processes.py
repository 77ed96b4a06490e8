"""Which of the processes that train together this one is, as whoever started them says in the environment."""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Processes:
    """One of `count` processes that train one model together; alone by default."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Place among the processes of this node."""
    num_nodes: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @property
    def are_several(self) -> bool:
        return self.count > 1

    def shares(self, number: int) -> tuple[slice, ...]:
        """Return which of `number` things fall to each process: neighbours, in the order of ranks, and to none more
        than one above another."""
        smaller, extra = divmod(number, self.count)
        ends = [rank * smaller + min(rank, extra) for rank in range(self.count + 1)]
        return tuple(slice(start, end) for start, end in itertools.pairwise(ends))

    def share(self, number: int) -> slice:
        """Return which of `number` things fall to this process."""
        return self.shares(number)[self.rank]


def processes_of_environment(environment: Mapping[str, str] = os.environ) -> Processes | None:
    """Return this process's place where several were started together, by `peftrec train`, torchrun or srun.

    The first two say it in torchrun's variables. Slurm's are those of a job step: a batch script, which srun has not
    started yet, has only the job's.
    """
    if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= environment.keys():
        count = int(environment["WORLD_SIZE"])
        return Processes(
            rank=int(environment["RANK"]),
            count=count,
            local_rank=int(environment["LOCAL_RANK"]),
            num_nodes=count // int(environment.get("LOCAL_WORLD_SIZE", count)),
        )
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return Processes(
            rank=int(environment["SLURM_PROCID"]),
            count=int(environment["SLURM_STEP_NUM_TASKS"]),
            local_rank=int(environment["SLURM_LOCALID"]),
            num_nodes=int(environment["SLURM_STEP_NUM_NODES"]),
        )
    return None


def torchrun_environment(processes: Processes, *, address: str, port: int) -> dict[str, str]:
    """Return the variables by which `processes_of_environment`, torch and Lightning know a process's place."""
    per_node = processes.count // processes.num_nodes
    return {
        "RANK": str(processes.rank),
        "WORLD_SIZE": str(processes.count),
        "LOCAL_RANK": str(processes.local_rank),
        "LOCAL_WORLD_SIZE": str(per_node),
        "GROUP_RANK": str(processes.rank // per_node),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
    }
