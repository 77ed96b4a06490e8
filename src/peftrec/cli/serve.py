"""`peftrec serve`: a finished run, or several, that answer over HTTP."""

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from peftrec.cli.arguments import Grammar, read_arguments
from peftrec.errors import SettingsError
from peftrec.processes import TERMINATED, Terminated
from peftrec.results.record import read_finished
from peftrec.serving.content_weight import CONTENT_NEIGHBOURS, VALUES
from peftrec.serving.http.listening import taken_port
from peftrec.serving.http.request import KEYS, WORKER, ServeRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

HELP = """usage: peftrec serve run=RUN_DIR [run=RUN_DIR ...] [host=127.0.0.1] [port=8000] [keep=DIR] [LIMIT=NUMBER ...]
                     [content_neighbours=auto|off|WEIGHT] [groups=NUMBER] [data.root=DIR] [code=DIR]

  POST /recommend   {"user": ID} or {"items": [ID, ...]}, and "k", "seen", "run": what `peftrec recommend` says
  POST /encode      {"items": [{"id": ID, "title": TEXT, "texts": {NAME: TEXT}, "image": BASE64}, ...]}: their vectors;
                    what the run's towers read of these
  POST /items       the same: they are recommended from now on
  GET  /health  /metrics (Prometheus)  /openapi.json

  run=RUN_DIR       the run's folder, runs/first/lora-0123456789ab; runs/first/lora where one run alone is called so;
                    several are told apart by the names of their folders, and equal towers are in memory once
  port=8000         0 takes a free one; the line `ready: http://HOST:PORT` says which
  host=ADDRESS      where others reach it; there is no authentication, so put a proxy that has one before it
  keep=DIR          a file for each run that keeps added items over restarts
  content_neighbours=auto
                    as peftrec recommend takes it, for every request; the weight of each run is said at the start
  groups=NUMBER     of one run: each user by the own group's part, of a finished division (peftrec groups); who is in
                    none, and a history, by the run's own; what it costs is said at the start, and /encode takes "group"
  wait_ms=0         how long a request waits for others to be computed with; what waits anyway is computed together
  LIMIT=NUMBER      max_k=1000 max_history=1000 max_items=64 max_added=10000 max_image_pixels=16777216
                    max_body_mib=16 max_head_seconds=10 max_body_seconds=30 max_batch=64 max_queue=256
  data.root=DIR     where the runs' data lies now, if it was moved

SIGTERM and Ctrl-C end it when what is under way is answered, after a few seconds at most; the second at once.

examples:
  peftrec train name=first strategy=iisan_cached trainer.max_epochs=2
  peftrec serve run=runs/first/iisan_cached port=0 keep=added"""

INTERRUPTED = 128 + signal.SIGINT
GRAMMAR = Grammar(
    verb="serve",
    help=HELP,
    keys=("run", *KEYS),
    repeatable=("run",),
    required={"run": "RUN_DIR"},
    among={CONTENT_NEIGHBOURS: VALUES},
    extras={"serve": "all of it"},
    takes_places=True,
    runs_user_code=True,
)


def main(arguments: list[str]) -> int:
    """Serve until a signal comes."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    request = ServeRequest.of(given.runs, given.own, given.places)
    with taken_port(request.host, request.port) as listener:
        try:
            for run in request.runs:
                read_finished(run)  # before what takes seconds to import
            if request.groups is not None:
                from peftrec.user_groups.named_division import named_division

                named_division(request.runs[0], request.groups)
            serve = _serving()
            from peftrec.progress.quiet import quieten_libraries

            quieten_libraries()
            serve(request, listener)
        except KeyboardInterrupt:
            return _ended("interrupted", INTERRUPTED, request)
        except Terminated:
            return _ended("ended by SIGTERM", TERMINATED, request)
    return 0


def _ended(how: str, status: int, request: ServeRequest) -> int:
    """Say what is left of a service: nothing of it is done by halves, so no command goes on from there."""
    fate = "gone; keep=DIR keeps them" if request.keep is None else f"kept in {request.keep}"
    print(f"{how}; items that were added to the service are {fate}", file=sys.stderr, flush=True)
    if any(thread.name == WORKER and thread.is_alive() for thread in threading.enumerate()):
        os._exit(status)  # it computes what nobody waits for, and Python cannot end beneath it
    return status


def _serving() -> "Callable[[ServeRequest, socket], None]":
    try:
        from peftrec.serving.http.serving import serve
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "starlette", "uvicorn", "prometheus_client"):
            raise
        raise SettingsError(f'serve needs the package {error.name}: pip install "peftrec[serve]"') from error
    return serve
