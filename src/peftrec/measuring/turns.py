"""One process a run, which take turns: one computes, and the others sleep."""

import signal
import socket
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from peftrec.code.user_code import UserCode, hand_over
from peftrec.devices import WAITING, visible_devices
from peftrec.errors import UserError
from peftrec.jobs.isolation import job_environment
from peftrec.jobs.starting import Program, Running
from peftrec.jobs.supervisor import Supervisor
from peftrec.measuring.channel import Channel
from peftrec.measuring.job import MeasuringJob
from peftrec.results.costs import Epoch, MemorySource
from peftrec.results.machine_use import use_of_all
from peftrec.results.runs import Run
from peftrec.results.side_by_side import Round

JOB_MODULE = "peftrec.measuring.job"
WARM_UPS = 2
"""Turns of each process before the first that counts: compilation, the allocator's pools, the optimizer's state."""
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one turn of a run gave."""

    epochs: tuple[Epoch, ...]
    """Its passes."""
    device_seconds: tuple[float, ...] | None
    """Of each pass, by CUDA's events; None on a CPU."""
    allocated_bytes: int | None
    """The most that the device's allocator held in any turn so far."""
    memory_source: MemorySource | None

    @property
    def seconds_per_step(self) -> float:
        """The median over passes: on CUDA as the device timed them, elsewhere as the host did."""
        seconds = self.device_seconds or tuple(epoch.training_seconds for epoch in self.epochs)
        steps = [epoch.num_steps for epoch in self.epochs]
        return statistics.median(each / number for each, number in zip(seconds, steps, strict=True))

    def round(self, *, block: int, number: int, place: int) -> Round:
        """Return what a record holds of it."""
        return Round(
            block=block,
            number=number,
            place=place,
            seconds_per_step=self.seconds_per_step,
            num_steps=sum(epoch.num_steps for epoch in self.epochs),
            seconds=sum(epoch.training_seconds for epoch in self.epochs),
            machine=use_of_all([epoch.machine for epoch in self.epochs if epoch.machine is not None]),
        )


class TurnTaker:
    """A run's process, seen from here."""

    def __init__(self, run: Run, passes: int, running: Running) -> None:
        self.run = run
        self.passes = passes
        self.running = running
        self.channel: Channel | None = None
        self.description: dict[str, Any] = {}

    def take(self) -> Turn:
        """Let it compute, and sleep meanwhile."""
        channel = self._connected()
        try:
            channel.say({"passes": self.passes})
            heard = channel.hear()
        except ConnectionError as error:
            raise self.gone() from error
        return Turn(
            epochs=tuple(Epoch.model_validate(epoch) for epoch in heard["epochs"]),
            device_seconds=None if heard["device_seconds"] is None else tuple(heard["device_seconds"]),
            allocated_bytes=heard["allocated_bytes"],
            memory_source=heard["memory_source"],
        )

    def get_ready(self) -> None:
        """Wait until its model is built. Raises UserError with what kept it from that."""
        try:
            heard = self._connected().hear()
        except ConnectionError as error:
            raise self.gone() from error
        if "error" in heard:
            raise UserError(heard["error"])
        self.description = heard

    def dismiss(self) -> None:
        """Let it end."""
        channel = self._connected()
        try:
            channel.say({"passes": 0})
        except ConnectionError as error:
            raise self.gone() from error

    def gone(self) -> UserError:
        """Return what to say of a process that has ended by itself."""
        status = self.running.process.wait()
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        hint = "; the system may have run out of memory" if status == -signal.SIGKILL else "; see its words above"
        return UserError(f"{self.run.folder}: its process ended {how}{hint}. Nothing new is written to the records")

    def _connected(self) -> Channel:
        assert self.channel is not None
        return self.channel


class TurnTakers:
    """Starts the processes of a block; leaving it closes the ways to them. The supervisor ends those that still run."""

    def __init__(self, supervisor: Supervisor, folder: Path, *, num_steps: int) -> None:
        self.supervisor = supervisor
        self.folder = folder
        self.num_steps = num_steps
        self._open: list[Channel] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._open:
            channel.close()

    def start(self, runs: Sequence[Run], passes: Mapping[str, int]) -> list[TurnTaker]:
        """Start a process for each run, and wait until all are built. Raises UserError where one cannot be."""
        place = self.folder / "socket"
        place.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place))
            listener.listen()
            listener.settimeout(_LOOK_SECONDS)
            code = hand_over()
            takers = [self._start(number, run, passes[run.name], place, code) for number, run in enumerate(runs)]
            self._connect(takers, listener)
        for taker in takers:
            taker.get_ready()
        return takers

    def end(self, takers: Sequence[TurnTaker]) -> None:
        """Let all end, and wait for them."""
        for taker in takers:
            taker.dismiss()
        for taker in takers:
            self.supervisor.finish(taker.running)

    def _start(self, number: int, run: Run, passes: int, place: Path, code: UserCode) -> TurnTaker:
        job = MeasuringJob(
            run_directory=str(run.folder), socket=str(place), place=number, num_steps=self.num_steps, code=code
        )
        job_file = self.folder / f"job-{number}.json"
        job_file.write_text(job.model_dump_json(), encoding="utf-8")
        program = Program(
            module=JOB_MODULE,
            arguments=(str(job_file),),
            environment=environment_of(run),
            threads=threads_of(run),
        )
        return TurnTaker(run, passes, self.supervisor.start(program, prefix=f"[{run.record.strategy}]"))

    def _connect(self, takers: Sequence[TurnTaker], listener: socket.socket) -> None:
        while any(taker.channel is None for taker in takers):
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                for taker in takers:
                    if taker.channel is None and taker.running.process.poll() is not None:
                        raise taker.gone() from None
                continue
            connection.settimeout(None)
            channel = Channel(connection)
            self._open.append(channel)
            takers[channel.hear()["place"]].channel = channel


def environment_of(run: Run) -> dict[str, str]:
    """Return this environment, with the waiting of threads that the run had, and one CUDA device where it had one."""
    from peftrec.measuring.choosing import is_on_cuda

    devices = visible_devices() if is_on_cuda(run.record) else []
    environment = job_environment(devices[0] if devices else None)
    waiting = run.record.latest.conditions.get("waiting")
    if isinstance(waiting, dict):
        for name in ("OMP_WAIT_POLICY", *WAITING):
            environment.pop(name, None)
        environment |= {name: str(value) for name, value in waiting.items()}
    return environment


def threads_of(run: Run) -> int | None:
    """Return how many threads the run computed with; None where its record does not say."""
    threads = run.record.latest.conditions.get("threads")
    return threads if isinstance(threads, int) else None


def warm_up(takers: Sequence[TurnTaker]) -> None:
    """Take turns that do not count."""
    for _ in range(WARM_UPS):
        for taker in takers:
            taker.take()


def one_round(takers: Sequence[TurnTaker], generator: np.random.Generator) -> tuple[list[int], dict[int, Turn]]:
    """Let each take a turn, in an order drawn for this round; return the order and the turns by place of the taker."""
    order = [int(place) for place in generator.permutation(len(takers))]
    return order, {place: takers[place].take() for place in order}
