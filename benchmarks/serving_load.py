"""A service under load on this machine, beside plain calls of the model that it serves.

    python benchmarks/serving_load.py RUN_DIR [--clients 1,8,32] [--seconds 4] [--rounds 3] [--k 10]

In every round each side works for so many seconds, one after the other: the model called with one user at a time; with
64; and `peftrec serve`, a process of its own on loopback, asked by so many clients, each of which sends its next
request when it has the answer to the last. Clients are one process, on the same cores. Answers a second are medians
over the rounds; p50 and p99 are of all answers. An answer that is not 200 ends the benchmark. At last a request that is
too large must be refused with 413, and the service must end as it is told.
"""

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np

from peftrec import load_run
from peftrec.processes import TERMINATED
from peftrec.serving.loaded_run import LoadedRun
from peftrec.serving.many_users import recommend_in_blocks

BATCH = 64
TOO_LARGE = 17 * 2**20


@dataclass
class Side:
    """What one side did in all rounds."""

    rates: list[float] = field(default_factory=list)
    """Answers a second, by round."""
    latencies: list[float] = field(default_factory=list)
    """Seconds, of every answer."""

    def line(self, name: str) -> str:
        """Return a row of the table."""
        p50, p99 = (1000 * np.quantile(self.latencies, quantile) for quantile in (0.5, 0.99))
        return f"| {name} | {statistics.median(self.rates):,.0f} | {p50:.2f} | {p99:.2f} | {len(self.latencies):,} |"


def call_plainly(run: LoadedRun, batch: int, seconds: float, k: int, side: Side) -> None:
    """Call the model with `batch` users at a time; an answer's latency is its batch's."""
    histories, num_answers = run.histories.interactions, 0
    begin = now = time.perf_counter()
    while now - begin < seconds:
        rows = (num_answers + np.arange(batch)) % len(histories)
        list(recommend_in_blocks(run.restored, run.catalogue, histories, rows, k, keeps_seen=False))
        after = time.perf_counter()
        side.latencies += [after - now] * batch
        num_answers, now = num_answers + batch, after
    side.rates.append(num_answers / (now - begin))


def load(port: int, users: Sequence[str], clients: int, seconds: float, k: int, side: Side) -> None:
    """Ask a service by so many clients at a time."""
    requests = [_request(json.dumps({"user": user, "k": k}).encode()) for user in users]

    async def client(first: int, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = first
        while (begin := time.perf_counter()) < end:
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"an answer was none: {head!r}")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            side.latencies.append(time.perf_counter() - begin)
            number += clients
        writer.close()

    async def all_clients() -> None:
        end = time.perf_counter() + seconds
        await asyncio.gather(*(client(first, end) for first in range(clients)))

    before, begin = len(side.latencies), time.perf_counter()
    asyncio.run(all_clients())
    side.rates.append((len(side.latencies) - before) / (time.perf_counter() - begin))


def _request(body: bytes) -> bytes:
    head = (
        f"POST /recommend HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


def refuses_too_much(port: int) -> bool:
    """Send a request that is too large; say whether it was refused with 413."""
    body = json.dumps({"user": "u" * TOO_LARGE}).encode()
    try:
        urlopen(Request(f"http://127.0.0.1:{port}/recommend", body, {"content-type": "application/json"}))
    except HTTPError as error:
        return error.code == 413
    return False


def main() -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--k", type=int, default=10)
    given = parser.parse_args()
    counts = [int(count) for count in given.clients.split(",")]

    command = [sys.executable, "-m", "peftrec", "serve", f"run={given.run}", "port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        ready = service.stdout.readline()
        if not ready.startswith("ready: "):
            raise SystemExit("the service did not start")
        port = int(ready.rpartition(":")[2])
        run = load_run(given.run)
        sides: dict[str, tuple[Side, Callable[[Side], None]]] = {
            "model, one at a time": (Side(), lambda side: call_plainly(run, 1, given.seconds, given.k, side)),
            f"model, {BATCH} at a time": (Side(), lambda side: call_plainly(run, BATCH, given.seconds, given.k, side)),
        }
        for count in counts:
            sides[f"service, {count} client{'s' * (count > 1)}"] = (
                Side(),
                lambda side, count=count: load(port, run.users, count, given.seconds, given.k, side),
            )
        for _ in range(given.rounds):
            for side, work in sides.values():
                work(side)
        was_refused = refuses_too_much(port)
        service.send_signal(signal.SIGTERM)
        status = service.wait(60)

    print(f"{len(run.users):,} users, {len(run.items):,} items, {run.record.strategy}, k={given.k}; medians of")
    print(f"{given.rounds} rounds of {given.seconds:g} s a side, in turns\n")
    print("| | answers a second | p50, ms | p99, ms | answers |\n|---|--:|--:|--:|--:|")
    for name, (side, _) in sides.items():
        print(side.line(name))
    print(f"\ntoo large a request refused: {was_refused}; exit status {status} (expected {TERMINATED})")
    if not was_refused or status != TERMINATED:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
