"""kill -9, two builders, a flipped byte and a full disk: a store is whole and the same, or one clear error says why."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pytest
import torch.distributed

from peftrec.data.batches import ItemBatch
from peftrec.data.content import ItemContent
from peftrec.errors import StoreError
from peftrec.hidden_states.paths import building_path, is_store
from peftrec.hidden_states.progress import PLAN
from peftrec.hidden_states.store import open_store
from peftrec.hidden_states.verification import find_problems
from peftrec.processes import ALONE, ProcessRank
from small_stores import OPTIONS, build, file_bytes, key_of, small_content, small_source

NUM_ITEMS, NUM_CHUNKS, NUM_KILLS = 72, 24, 10
KEY = key_of(num_items=NUM_ITEMS)
FOLDER = KEY.folder_name()
SLOW = replace(OPTIONS, batch_size=3, num_threads=1)
PATIENCE_SECONDS = 60.0


# -- inside a process that has imported everything and forks builders, each of which starts at once ------------------


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
    content = SlowContent(titles=plain.titles, pixels=plain.pixels, counter=counter, gate=gate)
    build(directory, KEY, small_source(content=content, num_items=NUM_ITEMS), options=SLOW, processes=processes)
    os._exit(0)


def finish(process_id: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1])


def kill(process_id: int) -> int:
    os.kill(process_id, signal.SIGKILL)
    return finish(process_id)


def kill_at_ten_moments(root: Path) -> dict[str, str]:
    """Kill a build at moments all over its time, each time another, and resume it."""
    started = time.monotonic()
    assert finish(start_builder(root / "whole", "whole")) == 0
    seconds = time.monotonic() - started
    expected = file_bytes(root / "whole" / FOLDER)
    moments = (np.arange(NUM_KILLS) + np.random.default_rng().random(NUM_KILLS)) / NUM_KILLS * seconds
    in_the_middle = 0
    for number, moment in enumerate(moments):
        directory = root / f"killed-{number}"
        builder = start_builder(directory, f"killed-{number}")
        time.sleep(float(moment))
        kill(builder)
        in_the_middle += (building_path(directory / FOLDER) / PLAN).exists()
        assert finish(start_builder(directory, f"resumed-{number}")) == 0
        assert file_bytes(directory / FOLDER) == expected, f"killed after {moment:.3f} of {seconds:.3f} s"
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


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


# -- the tests -------------------------------------------------------------------------------------------------------


Told = dict[str, dict[str, str]]


def elsewhere(root: Path, *functions: Callable[[Path], dict[str, str]]) -> Told:
    """Run functions of this file in one fresh process of one thread, each in a folder of its own."""
    names = [function.__name__ for function in functions]
    script = f"""
import json, pathlib, runpy, torch
torch.set_num_threads(1)
found = runpy.run_path({__file__!r})
told = {{}}
for name in {names!r}:
    folder = pathlib.Path({str(root)!r}, name)
    folder.mkdir()
    told[name] = found[name](folder)
print(json.dumps(told))
"""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: Told = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def told(place: Path) -> Told:
    return elsewhere(place, kill_ten_times_over, build_at_once, kill_the_first_builder, build_over_gloo, build_within)


def test_ten_kills_of_one_build_cost_no_byte(told: Told) -> None:
    batches = int(told["kill_ten_times_over"]["batches"])
    assert batches < NUM_CHUNKS + NUM_KILLS * (SLOW.num_threads + 8), "a chunk that was finished was computed again"


@pytest.mark.slow
def test_a_kill_at_any_moment_costs_no_byte(place: Path) -> None:
    assert int(elsewhere(place, kill_at_ten_moments)["kill_at_ten_moments"]["in_the_middle"]) >= 3


def test_of_two_builders_one_builds_and_the_other_says_for_whom_it_waits(told: Told, place: Path) -> None:
    said = told["build_at_once"]
    shared = place / "build_at_once" / "shared"
    assert said["first_err"] == ""
    assert said["first_count"] == str(NUM_CHUNKS)
    assert said["second_built"] == "False"
    (line,) = said["second_err"].splitlines()
    assert line.startswith(f"waiting for process {said['first']} on {os.uname().nodename}, since ")
    assert line.endswith(f"which builds {shared / FOLDER}")
    assert [path.name for path in shared.iterdir()] == [FOLDER]


def test_who_waits_for_a_builder_that_is_killed_goes_on_in_its_place(told: Told, place: Path) -> None:
    said = told["kill_the_first_builder"]
    shared, whole = place / "kill_the_first_builder" / "shared", place / "kill_ten_times_over" / "whole"
    assert f"resuming {building_path(shared / FOLDER)}" in said["second_err"]
    assert 0 < int(said["count"]) < NUM_CHUNKS
    assert file_bytes(shared / FOLDER) == file_bytes(whole / FOLDER)


def test_two_ranks_share_the_work_and_give_the_bytes_of_one(told: Told, place: Path) -> None:
    assert told["build_over_gloo"] == {"rank-0": str(NUM_CHUNKS // 2), "rank-1": str(NUM_CHUNKS // 2)}
    shared, whole = place / "build_over_gloo" / "shared", place / "kill_ten_times_over" / "whole"
    assert file_bytes(shared / FOLDER) == file_bytes(whole / FOLDER)


def test_one_flipped_bit_is_refused(tmp_path: Path) -> None:
    build(tmp_path)
    folder = tmp_path / key_of().folder_name()
    random = np.random.default_rng()
    for path in folder.iterdir():
        content = path.read_bytes()
        place = int(random.integers(len(content)))
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << int(random.integers(8))]) + content[place + 1 :]
        )
        with pytest.raises(StoreError, match=f"{path}.*delete {folder} and it is built again"):
            open_store(folder, key_of())
        with pytest.raises(StoreError):  # noqa: PT012 - an unreadable manifest raises at once
            for problem in find_problems(folder, extent="everything"):
                raise StoreError(problem)
        path.write_bytes(content)
    open_store(folder, key_of())


def test_a_disk_without_room_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(tmp_path))(10**6, 10**6, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        StoreError, match=r"the store needs 1,0\d\d,\d\d\d bytes and 1,000 are free; free space, set hid"
    ):
        build(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_filled_meanwhile_leaves_nothing_half_made(told: Told) -> None:
    said = told["build_within"]
    assert "no room for the store (File too large); free space, set hidden_states.directory=DIR" in said["error"]
    assert said["left"] == ""


@pytest.mark.parametrize("function", ["pwrite", "fsync"])
def test_a_disk_that_fails_in_the_middle_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    real, calls = getattr(os, function), []

    def fill_up(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) > 25:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    source = small_source()
    with monkeypatch.context() as patched:
        patched.setattr(os, function, fill_up)
        with pytest.raises(StoreError, match="no room for the store"):
            build(tmp_path, source=source)
    folder = tmp_path / key_of().folder_name()
    assert [path for path in tmp_path.iterdir() if is_store(path)] == [building_path(folder)]
    build(tmp_path)
    build(tmp_path / "whole")
    assert file_bytes(folder) == file_bytes(tmp_path / "whole" / folder.name)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        # Only root may mount; the tests above fill disks by limits, which need no right.
        pytest.skip("may not mount a file system here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("is_told", [True, False])
def test_a_disk_that_is_really_full(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch, is_told: bool) -> None:
    """Whether the system tells beforehand how much is free, or only refuses."""
    key = key_of(num_items=500)
    if not is_told:
        usage = type(shutil.disk_usage(tiny_disk))(10**9, 0, 10**9)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StoreError, match="are free" if is_told else "no room for the store"):
        build(tiny_disk, key)
    assert not list(tiny_disk.iterdir())


@pytest.mark.slow
def test_the_command_resumes_what_was_killed(tmp_path: Path) -> None:
    def command(directory: Path) -> list[str]:
        arguments = ("data.num_items=2000", "trainer.accelerator=cpu", f"hidden_states.directory={directory}")
        return [sys.executable, "-m", "peftrec", "cache", "build", *arguments]

    def stored(directory: Path) -> dict[str, bytes]:
        (folder,) = directory.iterdir()
        return file_bytes(folder)

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command(tmp_path / "whole"), capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith(f"built: {tmp_path / 'whole'}")
    random = np.random.default_rng()
    for _ in range(3):
        process = subprocess.Popen(command(tmp_path / "killed"), stderr=subprocess.DEVNULL, env=environment)
        with suppress(subprocess.TimeoutExpired):
            wait_until(
                lambda process=process: process.poll() is not None or any((tmp_path / "killed").glob("*.build*"))
            )
            process.wait(float(random.uniform(0, 1)))
        process.kill()
        process.wait()
    subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True, env=environment)
    assert stored(tmp_path / "killed") == stored(tmp_path / "whole")
