"""Builders of stores that are slow, killed, waited for or without room: forked from one process of one thread, so that
each starts at once. `python -m store_builders FOLDER NAME ...` runs functions of this module, each in a folder of its
own, and leaves what they tell in FOLDER/told.json."""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import torch.distributed

from peftrec.data.batches import ItemBatch
from peftrec.data.content import ItemContent
from peftrec.errors import StoreError
from peftrec.hidden_states.paths import building_path
from peftrec.hidden_states.progress import PLAN
from peftrec.hidden_states.verification import find_problems
from peftrec.processes import ALONE, ProcessRank
from small_stores import OPTIONS, build, file_bytes, key_of, small_content, small_source

NUM_ITEMS, NUM_CHUNKS, NUM_KILLS = 72, 24, 10
KEY = key_of(num_items=NUM_ITEMS)
FOLDER = KEY.folder_name()
SLOW = replace(OPTIONS, batch_size=3, num_threads=1)
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class SlowContent(ItemContent):
    """Takes its time, so that a moment in it can be chosen, and counts its batches in a file; after a few of them it
    waits where there is a gate until that file is there."""

    counter: Path
    gate: Path | None

    def batch(self, items: npt.NDArray[np.integer]) -> ItemBatch:
        with self.counter.open("a") as stream:
            stream.write(".")
        time.sleep(0.01)
        if self.gate is not None and self.counter.stat().st_size > NUM_CHUNKS // 2:
            wait_until(self.gate.exists)
        return super().batch(items)


def start_builder(directory: Path, name: str, gate: Path | None = None) -> int:
    """Fork a process that builds in `directory` and writes to `name`.err and `name`.count beside it."""
    process_id = os.fork()
    if process_id:
        return process_id
    sys.stderr = directory.with_name(f"{name}.err").open("w", buffering=1)
    return count_batches_of(directory, name, gate=gate)


def count_batches_of(directory: Path, name: str, processes: ProcessRank = ALONE, gate: Path | None = None) -> NoReturn:
    """Build slowly, and end the process."""
    plain = small_content(num_items=NUM_ITEMS)
    counter = directory.with_name(f"{name}.count")
    content = SlowContent(by_tower=plain.by_tower, counter=counter, gate=gate)
    build(directory, KEY, small_source(content=content, num_items=NUM_ITEMS), options=SLOW, processes=processes)
    os._exit(0)


def finish(process_id: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1])


def kill(process_id: int) -> int:
    os.kill(process_id, signal.SIGKILL)
    return finish(process_id)


def kill_at_ten_moments(root: Path) -> dict[str, str]:
    """Kill a build at moments all over its work, each time another, and resume it."""
    assert finish(start_builder(root / "whole", "whole")) == 0
    expected = file_bytes(root / "whole" / FOLDER)
    in_the_middle = 0
    for number, pause in enumerate(np.random.default_rng().uniform(0.0, 0.03, NUM_KILLS)):
        directory = root / f"killed-{number}"
        builder = start_builder(directory, f"killed-{number}")
        num_batches = number * NUM_CHUNKS // NUM_KILLS
        wait_until(lambda file=root / f"killed-{number}.count", least=num_batches: size_of(file) >= least)
        time.sleep(float(pause))
        kill(builder)
        in_the_middle += (building_path(directory / FOLDER) / PLAN).exists()
        assert finish(start_builder(directory, f"resumed-{number}")) == 0
        assert file_bytes(directory / FOLDER) == expected, f"killed {pause:.3f} s after {num_batches} batches"
        assert [path.name for path in directory.iterdir()] == [FOLDER]
        assert not list(find_problems(directory / FOLDER, extent="everything"))
    return {"in_the_middle": str(in_the_middle)}


def kill_ten_times_over(root: Path) -> dict[str, str]:
    """Kill one build again and again; it still comes to an end."""
    assert finish(start_builder(root / "whole", "whole")) == 0
    directory = root / "killed"
    for pause in np.random.default_rng().uniform(0.01, 0.12, NUM_KILLS):
        builder = start_builder(directory, "killed")
        time.sleep(float(pause))
        kill(builder)
    assert finish(start_builder(directory, "killed")) == 0
    assert file_bytes(directory / FOLDER) == file_bytes(root / "whole" / FOLDER)
    return {"batches": str(len((root / "killed.count").read_text()))}


def start_two(root: Path) -> tuple[int, int]:
    """Start a builder, and another that waits for it; the first goes on when `gate` is made."""
    first = start_builder(root / "shared", "first", root / "gate")
    wait_until((building_path(root / "shared" / FOLDER) / "finished-0.json").exists)
    second = start_builder(root / "shared", "second")
    said = root / "second.err"
    wait_until(lambda: said.exists() and "waiting" in said.read_text())
    return first, second


def build_at_once(root: Path) -> dict[str, str]:
    """Let two processes build one store, and say what each did and wrote."""
    first, second = start_two(root)
    (root / "gate").touch()
    assert [finish(builder) for builder in (first, second)] == [0, 0]
    return {
        "first": str(first),
        "first_err": (root / "first.err").read_text(),
        "second_err": (root / "second.err").read_text(),
        "first_count": str(len((root / "first.count").read_text())),
        "second_built": str((root / "second.count").exists()),
    }


def kill_the_first_builder(root: Path) -> dict[str, str]:
    """Kill a builder for whom another waits."""
    first, second = start_two(root)
    assert kill(first) == -signal.SIGKILL
    assert finish(second) == 0
    return {"second_err": (root / "second.err").read_text(), "count": str(len((root / "second.count").read_text()))}


def build_over_gloo(root: Path) -> dict[str, str]:
    """Build with two ranks that talk as those of a training do."""
    builders = []
    for rank in range(2):
        process_id = os.fork()
        if process_id == 0:
            rendezvous = f"file://{root / 'rendezvous'}"
            torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
            count_batches_of(root / "shared", f"rank-{rank}", ProcessRank(rank=rank, count=2))
        builders.append(process_id)
    assert [finish(builder) for builder in builders] == [0, 0]
    return {name: str(len((root / f"{name}.count").read_text())) for name in ("rank-0", "rank-1")}


def build_within(root: Path) -> dict[str, str]:
    """Build where no file may have more than 8,000 bytes; the larger array has more."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        build(root / "full", KEY)
    except StoreError as error:
        return {"error": str(error), "left": ",".join(path.name for path in (root / "full").iterdir())}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    return {"error": "", "left": ""}


def size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def main(root: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    told = {}
    for name in names:
        folder = root / name
        folder.mkdir()
        told[name] = globals()[name](folder)
    (root / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
