"""Which of the processes that train together this one is, as whoever started them says in the environment; how a
process ends that is told to; and whether one lives still that left its name on a file."""

import itertools
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TypeVar, cast

import psutil

from peftrec.errors import UserError

Value = TypeVar("Value")
Fate = Literal["own", "alive", "gone", "unknown"]
TERMINATED = 128 + signal.SIGTERM
"""The exit status that shells give a process which SIGTERM ended."""


class Terminated(SystemExit):  # not an error: the process is to end
    """SIGTERM came, by which a cluster or a system that shuts down ends a program."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)

    def __str__(self) -> str:
        return "SIGTERM came"


def terminate(_signum: int, _frame: FrameType | None) -> None:
    """Raise Terminated; while what was done is recorded, neither SIGTERM nor Ctrl-C comes in between."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise Terminated


def end_on_sigterm() -> None:
    """Let SIGTERM raise Terminated where nobody else handles it, as submitit does in the jobs that it requeues."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminate)


@dataclass(frozen=True, kw_only=True)
class ProcessRank:
    """This process among the `count` that train one model together; alone by default.

    What the methods below say to the others goes through torch's process group (see peftrec.training.joining); alone,
    each of them does nothing but its own part.
    """

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

    def wait_for_all(self) -> None:
        """Return when every process has come here."""
        if self.are_several:
            from torch import distributed

            distributed.barrier()

    def from_first(self, function: Callable[[], Value]) -> Value:
        """Run `function` in the first process and return its value in all; what it raises, all raise."""
        if not self.are_several:
            return function()
        from torch import distributed

        outcome: list[Any] = [None, None]
        if self.is_first:
            try:
                outcome[0] = function()
            except Exception as error:  # raised again below, here and in every other process
                outcome[1] = error
        distributed.broadcast_object_list(outcome, src=0)
        if outcome[1] is not None:
            raise outcome[1]
        return cast("Value", outcome[0])

    def first_then_others(self, function: Callable[[], Value]) -> Value:
        """Run `function` in every process, but in the first one before the others: what it leaves on the disk, they
        find. What it raises, all raise."""
        made: list[Value] = []
        self.from_first(lambda: made.append(function()))
        return made[0] if made else function()

    def collected(self, value: Value) -> list[Value]:
        """Return every process's value, in the order of ranks."""
        if not self.are_several:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values


ALONE = ProcessRank()


@dataclass(frozen=True)
class Starter:
    """A program that starts commands, and tells them something in the environment."""

    name: str
    unset: tuple[str, ...]
    """Variables without which a command takes itself for one that the program has not started."""


TORCHRUN = Starter("torchrun", unset=("RANK", "WORLD_SIZE", "LOCAL_RANK"))
SRUN = Starter("srun", unset=("SLURM_STEP_NUM_TASKS",))
_LONGEST_NUMBER = 18  # digits, all of which 64 bits hold


def rank_of_environment(environment: Mapping[str, str] = os.environ) -> ProcessRank | None:
    """Return this process's place where several were started together, by `peftrec train`, torchrun or srun.

    The first two say it in torchrun's variables. Slurm's are those of a job step: a batch script, which srun has not
    started yet, has only the job's.
    """
    if {*TORCHRUN.unset} <= environment.keys():
        count = whole_number(environment, "WORLD_SIZE", TORCHRUN, least=1)
        per_node = whole_number(environment, "LOCAL_WORLD_SIZE", TORCHRUN, least=1, most=count, otherwise=count)
        return ProcessRank(
            rank=whole_number(environment, "RANK", TORCHRUN, most=count - 1),
            count=count,
            local_rank=whole_number(environment, "LOCAL_RANK", TORCHRUN, most=per_node - 1),
            num_nodes=count // per_node,
        )
    if (count := whole_number(environment, SRUN.unset[0], SRUN, least=1, otherwise=1)) > 1:
        return ProcessRank(
            rank=whole_number(environment, "SLURM_PROCID", SRUN, most=count - 1),
            count=count,
            local_rank=whole_number(environment, "SLURM_LOCALID", SRUN, most=count - 1),
            num_nodes=whole_number(environment, "SLURM_STEP_NUM_NODES", SRUN, least=1, most=count),
        )
    return None


def whole_number(
    environment: Mapping[str, str],
    name: str,
    starter: Starter,
    *,
    least: int = 0,
    most: int | None = None,
    otherwise: int | None = None,
) -> int:
    """Return a number that a starter leaves in the environment; `otherwise` is that of a variable that is not set.

    Raises UserError where it is none from `least` to `most`, with what the shell is to be told.
    """
    text = environment.get(name)
    if text is None and otherwise is not None:
        return otherwise
    if text is not None and text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER:
        number = int(text)
        if least <= number and (most is None or number <= most):
            return number
    first = f"{name} is not set" if text is None else f"{name}={text!r}"
    span = f"{least} on" if most is None else f"{least} to {most}"
    raise UserError(
        f"{first} in the environment, where {starter.name} puts a whole number from {span}: start the command by "
        f"{starter.name}, or in a shell of its own, after: unset {' '.join(starter.unset)}"
    )


def torchrun_environment(rank: ProcessRank, *, address: str, port: int) -> dict[str, str]:
    """Return the variables by which `rank_of_environment`, torch and Lightning know a process's place."""
    per_node = rank.count // rank.num_nodes
    return {
        "RANK": str(rank.rank),
        "WORLD_SIZE": str(rank.count),
        "LOCAL_RANK": str(rank.local_rank),
        "LOCAL_WORLD_SIZE": str(per_node),
        "GROUP_RANK": str(rank.rank // per_node),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
    }


def owner() -> str:
    """Return this process in a few characters that may stand in a file's name, without a dot."""
    return f"{_machine()}-{os.getpid()}"


def fate_of(name: str) -> Fate:
    """Say what became of a process that `owner` named.

    Of another machine nothing is known, and none is named by what `owner` has not made. A number alone is a process of
    this machine: so names were before they held one.
    """
    machine, _, number = name.rpartition("-")
    if not number.isdecimal() or machine not in ("", _machine()):
        return "unknown"
    process_id = int(number)
    if process_id == os.getpid():
        return "own"
    return "alive" if psutil.pid_exists(process_id) else "gone"


@cache
def _machine() -> str:
    """Return digits of the machine and of the numbering of processes: containers share folders, but not these."""
    names = [os.uname().nodename]
    with suppress(OSError):  # where there is no /proc
        names.append(str(Path("/proc/self/ns/pid").readlink()))
    return sha256("\n".join(names).encode()).hexdigest()[:8]
