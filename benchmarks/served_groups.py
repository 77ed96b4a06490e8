"""What it costs to serve a run by groups of its users: latency, item vectors and memory beside the run undivided.

    python benchmarks/served_groups.py RUN_DIR [--groups 1,2,4] [--clients 1,32] [--seconds 4] [--rounds 3] [--k 10]

The divisions are there already: `peftrec groups run=RUN_DIR number=2` makes one. Each service, `peftrec serve` of the
run and of every division, is a process of its own on loopback; in every round each is asked in turn for so many
seconds, by so many clients, each of which sends its next request when it has the answer to the last. Clients are one
process, on the same cores. Answers a second are medians over the rounds, p50 and p99 of all answers. Seconds to start
are from the command to `ready:`, once; memory is what is resident after the last round. At last new items are added one
by one: the median time of an answer.
"""

import argparse
import base64
import io
import json
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from PIL import Image
from serving_load import Side, load

from peftrec.processes import TERMINATED
from peftrec.serving.user_histories import SECONDS_A_DAY, UserHistories
from peftrec.training.run.restored_run import restore_run

MEBIBYTE = 2**20
ADDED = 9


@dataclass(kw_only=True)
class Service:
    """One that runs."""

    name: str
    process: "subprocess.Popen[str]"
    port: int
    start_seconds: float
    sides: dict[int, Side] = field(default_factory=dict)
    """By the number of clients."""

    @classmethod
    def started(cls, run: Path, groups: str | None) -> "Service":
        """Start it, and wait until it answers."""
        words = [f"run={run}", "port=0", *([] if groups is None else [f"groups={groups}"])]
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "peftrec", "serve", *words], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        ready = process.stdout.readline()
        if not ready.startswith("ready: "):
            raise SystemExit(f"the service of groups={groups} did not start")
        name = "the run" if groups is None else f"groups={groups}"
        port = int(ready.rpartition(":")[2])
        return cls(name=name, process=process, port=port, start_seconds=time.perf_counter() - began)

    def asked(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return an answer, as JSON."""
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"http://127.0.0.1:{self.port}{path}", data, {"content-type": "application/json"})) as got:
            answer: dict[str, Any] = json.load(got)
            return answer

    def row(self) -> str:
        """Return a row of the table; this adds items to the service."""
        (described,) = self.asked("/health")["runs"]
        cells = [f"{described['item_vector_bytes'] / MEBIBYTE:.2f}", f"{self._resident() / MEBIBYTE:,.0f}"]
        cells += [f"{self.start_seconds:.1f}", f"{1000 * self._seconds_to_add(described['reads']):.1f}"]
        for side in self.sides.values():
            rate, p50, p99 = (text.strip() for text in side.line("").split("|")[2:5])
            cells += [rate, p50, p99]
        return f"| {self.name} | {' | '.join(cells)} |"

    def _resident(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def _seconds_to_add(self, reads: list[str]) -> float:
        picture = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(picture, "PNG")
        content = {"title": "red steel lamp", "image": base64.b64encode(picture.getvalue()).decode()}
        seconds = []
        for number in range(ADDED):
            item = {"id": f"added{number}", **{name: content[name] for name in reads}}
            began = time.perf_counter()
            self.asked("/items", {"items": [item]})
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds)


def main() -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--groups", default="1,2,4")
    parser.add_argument("--clients", default="1,32")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--k", type=int, default=10)
    given = parser.parse_args()
    clients = [int(number) for number in given.clients.split(",")]
    users = UserHistories.of(restore_run(given.run), day_length=SECONDS_A_DAY).interactions.users
    services = [Service.started(given.run, groups) for groups in (None, *given.groups.split(","))]
    for service in services:
        service.sides = {number: Side() for number in clients}
    for _ in range(given.rounds):
        for number in clients:
            for service in services:
                load(service.port, users, number, given.seconds, given.k, service.sides[number])
    rows = [service.row() for service in services]
    for service in services:
        service.process.send_signal(signal.SIGTERM)
        if (status := service.process.wait(60)) != TERMINATED:
            raise SystemExit(f"{service.name} ended with {status}")

    print(f"{len(users):,} users, k={given.k}; medians of {given.rounds} rounds of {given.seconds:g} s, in turns\n")
    loads = [f"{what}, {number}" for number in clients for what in ("answers a second", "p50, ms", "p99, ms")]
    heads = ["served", "item vectors, MiB", "resident, MiB", "start, s", "add an item, ms", *loads]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
