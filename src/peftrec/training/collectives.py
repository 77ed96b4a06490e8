"""Processes that train together: how they join, and rows that they exchange with their gradients."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from jaxtyping import Float
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from torch import Tensor, distributed

from peftrec.errors import SettingsError
from peftrec.processes import (
    ALONE,
    SRUN,
    TORCHRUN,
    ProcessRank,
    rank_of_environment,
    torchrun_environment,
    whole_number,
)
from peftrec.settings.run import TrainerSettings

_LONGEST_WAIT = timedelta(days=1)  # the others wait while the first builds a store; torch's default is ten minutes
_FIRST_PORT, _NUM_PORTS = 12000, 16000  # below those that systems give to whoever asks for any
_LAST_PORT = 65535


@contextmanager
def joined(trainer: TrainerSettings) -> Iterator[ProcessRank]:
    """Join the processes that were started together, and yield this one's place among them.

    Raises SettingsError where their number is not what the settings ask for.
    """
    processes = rank_of_environment() or ALONE
    _check_number(trainer, processes)
    if not processes.are_several or distributed.is_initialized():
        yield processes
        return
    if "RANK" not in os.environ:
        os.environ.update(_slurms_meeting_point(processes))
    _check_meeting_point()
    backend = "gloo"
    if trainer.accelerator in ("auto", "gpu") and torch.cuda.is_available():
        _choose_device(processes)
        backend = "nccl"
    distributed.init_process_group(backend, rank=processes.rank, world_size=processes.count, timeout=_LONGEST_WAIT)
    yield processes
    distributed.destroy_process_group()  # not after a failure: the others may be waiting where this one never comes


def _check_number(trainer: TrainerSettings, processes: ProcessRank) -> None:
    asked = processes.count // processes.num_nodes if trainer.devices == "auto" else trainer.devices
    if processes.count != asked * trainer.num_nodes:
        raise SettingsError(
            f"trainer.devices={trainer.devices} and trainer.num_nodes={trainer.num_nodes} do not fit the "
            f"{processes.count} processes on {processes.num_nodes} nodes that were started: start one process a "
            "device, by `peftrec train` on one node, by srun or torchrun on several"
        )


def _slurms_meeting_point(processes: ProcessRank) -> dict[str, str]:
    """Return where the processes of a Slurm step meet without a word: its first node, a port made of its number."""
    address = SLURMEnvironment.resolve_root_node_address(os.environ.get("SLURM_STEP_NODELIST", ""))
    job, step = (whole_number(os.environ, name, SRUN) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    number = 7 * job + step
    return torchrun_environment(processes, address=address, port=_FIRST_PORT + number % _NUM_PORTS)


def _check_meeting_point() -> None:
    """Raise UserError where the environment does not say where to meet."""
    whole_number(os.environ, "MASTER_PORT", TORCHRUN, least=1, most=_LAST_PORT)
    if not os.environ.get("MASTER_ADDR"):
        raise SettingsError(
            "MASTER_ADDR is not set in the environment, where torchrun puts the address at which processes meet, and "
            "peftrec the first node of SLURM_STEP_NODELIST: start the command by torchrun or srun"
        )


def _choose_device(processes: ProcessRank) -> None:
    if processes.local_rank >= torch.cuda.device_count():
        raise SettingsError(
            f"trainer.devices: process {processes.local_rank} of this node sees only {torch.cuda.device_count()} CUDA "
            "devices; ask for them per node and not per task (srun --gpus-per-node)"
        )
    torch.cuda.set_device(processes.local_rank)


def gather_rows(rows: Float[Tensor, "own dim"], sizes: tuple[int, ...], rank: int) -> Float[Tensor, "all dim"]:
    """Return the rows of all processes, in the order of ranks; process r holds `sizes[r]` of them.

    The gradient reaches the rows of every process: each receives what all of them derived for its rows.
    """
    gathered: Tensor = _GatherRows.apply(rows, sizes, rank)  # type: ignore[no-untyped-call]
    return gathered


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: tuple[int, ...], rank: int) -> Tensor:
        longest = max(sizes)  # unequal shapes abort gloo
        padded = rows.new_zeros(longest, rows.shape[1])
        padded[: sizes[rank]] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        ctx.start, ctx.size = sum(sizes[:rank]), sizes[rank]
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        # Summed in float32 at least, as one process would: under autocast the gradients come in 16 bits.
        whole = torch.promote_types(gradients[0].dtype, torch.float32)
        total = gradients[0].to(whole, copy=True, memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[ctx.start : ctx.start + ctx.size].to(gradients[0].dtype), None, None
