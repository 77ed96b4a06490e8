"""From a request to a service that listens: runs are loaded, and the process ends when it is told."""

import asyncio
import gc
import socket
import sys
import time
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from peftrec.serving.http.added_items import AddedItems
from peftrec.serving.http.app import Service, build_app
from peftrec.serving.http.heads import heads_within
from peftrec.serving.http.limits import Limits
from peftrec.serving.http.metrics import Metrics
from peftrec.serving.http.request import LOOPBACK_NAMES, ServeRequest
from peftrec.serving.http.served_run import ServedRun
from peftrec.serving.http.worker import Worker
from peftrec.serving.loaded_run import LoadedRun
from peftrec.serving.shared_tensors import SharedTensors
from peftrec.training.checkpoint import BEST, checkpoint_path
from peftrec.user_groups.answering import group_folder
from peftrec.user_groups.held_groups import HeldGroups
from peftrec.user_groups.named_division import named_division

SECONDS_TO_FINISH = 5.0
"""For requests that are under way when the service is told to end."""
SECONDS_TO_CANCEL = 2
"""For those of them that are then given up, to say so."""


def serve(request: ServeRequest, listener: socket.socket) -> None:
    """Load the runs and answer requests on a bound socket until SIGTERM or Ctrl-C, which is raised again when what was
    under way is answered. Raises UserError where a run cannot be served."""
    service = loaded_service(request)
    if not request.is_loopback:
        print(
            f"warning: host={request.host}: whoever reaches this port can ask, and add items; there is no "
            "authentication, so let nobody reach it but a proxy that has one",
            file=sys.stderr,
        )
    # What is loaded stays, so no collection need walk through it: one through all objects of the libraries took half a
    # second, in which nobody was answered (BENCHMARKS, "A service under load").
    gc.collect()
    gc.freeze()
    try:
        server_of(build_app(service), request.limits).run(sockets=[listener])
    finally:
        for run in service.runs.values():
            run.added.release()


def loaded_service(request: ServeRequest) -> Service:
    """Load the runs, one after the other; what is equal in their towers is in memory once."""
    shared = SharedTensors()
    runs: dict[str, ServedRun] = {}
    for directory in request.runs:
        name = directory.resolve().name
        division = None if request.groups is None else named_division(directory, request.groups)
        loaded = LoadedRun(directory=directory, overrides=request.places)
        module = loaded.restored.module
        chosen = loaded.chosen_weight(request.content_neighbours)
        if chosen is not None:
            print(f"{name}: {chosen.to_text()}", file=sys.stderr)
        weight = 0.0 if chosen is None else chosen.weight
        groups = None if division is None else HeldGroups.of(loaded.restored, division)
        added = AddedItems.beside(request.keep, name, *_checkpoints(directory, division, len(groups or ())))
        runs[name] = run = ServedRun(name, loaded, request.limits, added, weight=weight, groups=groups)
        modules = [module.recommender, *run.towers_for_new_items()]
        shared.share(modules)
        if groups is not None:
            print(f"{name}: {groups.costs_text(run.catalogue.embeddings.nbytes, modules)}", file=sys.stderr)
    metrics, limits = Metrics(), request.limits
    worker = Worker(
        max_batch=limits.max_batch,
        max_queue=limits.max_queue,
        wait_seconds=request.wait_seconds,
        observe=metrics.batch_size.observe,
    )
    hosts = (*LOOPBACK_NAMES, request.host) if request.is_loopback else ("*",)
    return Service(runs=runs, worker=worker, metrics=metrics, limits=limits, hosts=hosts)


def _checkpoints(run: Path, division: Path | None, num_groups: int) -> list[Path]:
    """Return the files of all weights that encode items."""
    of_groups = [] if division is None else [group_folder(division, group) for group in range(1, num_groups + 1)]
    return [checkpoint_path(folder, BEST) for folder in (run, *of_groups)]


def server_of(app: FastAPI, limits: Limits) -> "AnnouncingServer":
    """Return the server, which runs on bound sockets until a signal, and then raises what the signal raised before."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=int(SECONDS_TO_FINISH) + SECONDS_TO_CANCEL,
        http=heads_within(limits.max_head_seconds),
        ws="none",
        loop="asyncio",
    )
    return AnnouncingServer(config)


class AnnouncingServer(uvicorn.Server):
    """Says where it listens, once it does; told to end, it gives up what is not answered in time.

    uvicorn's own ways to do so, when time is over or Ctrl-C comes again, leave tracebacks of what they cancelled.
    """

    is_urgent = False
    """Whether it was told to end twice."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.is_urgent = True
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        giving_up = asyncio.create_task(self._give_up())
        await super().shutdown(sockets)
        giving_up.cancel()

    async def _give_up(self) -> None:
        """Cancel the requests that are not answered in time; CountedRequests answers them with 503."""
        end = time.monotonic() + SECONDS_TO_FINISH
        while time.monotonic() < end and not self.is_urgent:
            await asyncio.sleep(0.1)
        for task in [*self.server_state.tasks]:
            task.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            print(f"ready: http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
