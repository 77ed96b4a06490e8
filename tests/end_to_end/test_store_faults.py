"""kill -9, two builders, a flipped byte and a full disk: a store is whole and the same, or one clear error says why."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from peftrec.errors import StoreError
from peftrec.hidden_states.paths import building_path, is_store
from peftrec.hidden_states.store import open_store
from peftrec.hidden_states.verification import find_problems
from servers import run_command
from small_stores import build, file_bytes, key_of, small_source
from store_builders import FOLDER, NUM_CHUNKS, NUM_KILLS, SLOW, wait_until

pytestmark = pytest.mark.integration

Told = dict[str, dict[str, str]]


def elsewhere(root: Path, *names: str) -> Told:
    """Run functions of `store_builders` in one process, each in a folder of its own."""
    status, said = run_command([str(root), *names], module="store_builders")
    assert status == 0, said
    told: Told = json.loads((root / "told.json").read_text())
    return told


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def told(place: Path) -> Told:
    return elsewhere(
        place, "kill_ten_times_over", "build_at_once", "kill_the_first_builder", "build_over_gloo", "build_within"
    )


def test_ten_kills_of_one_build_cost_no_byte(told: Told) -> None:
    batches = int(told["kill_ten_times_over"]["batches"])
    assert batches < NUM_CHUNKS + NUM_KILLS * (SLOW.num_threads + 8), "a chunk that was finished was computed again"


@pytest.mark.slow
def test_a_kill_at_any_moment_costs_no_byte(place: Path) -> None:
    assert int(elsewhere(place, "kill_at_ten_moments")["kill_at_ten_moments"]["in_the_middle"]) >= 3


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
