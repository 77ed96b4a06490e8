"""kill -9 at random moments, again and again: no file is ever half of one, and the same command ends the same."""

import random
import shutil
import signal
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from made_up_records import write_example_records
from peftrec.files import abandoned_partials
from peftrec.results.ranks import read_ranks
from peftrec.results.record import read_record
from servers import run_command, start_command
from small_images import encoded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

KILLS = 50
SMALL = ("data.num_users=64", "data.num_items=100", "batch_size=16", "trainer.max_epochs=3", "trainer.accelerator=cpu")
Outcome = dict[str, object]


@dataclass(frozen=True)
class Task:
    """A command that writes below a folder, and what it must leave there."""

    words: Callable[[Path], list[str]]
    outcome: Callable[[Path], Outcome]
    """What is there: equal after the last run, and nothing else before it."""
    prepare: Callable[[Path], object] = lambda _: None


def runs_of(folder: Path) -> Outcome:
    """Return what was learnt; a record that cannot be read, or is done without its ranks, fails."""
    found: Outcome = {}
    for file in folder.rglob("record.json"):
        record = read_record(file)
        if record.status == "success":
            validation = [epoch.validation for epoch in record.epochs]
            found[record.run_id] = (record.evaluation, validation, read_ranks(file.parent).to_csv())
    return found


def arrays_of(folder: Path) -> Outcome:
    """Return the arrays of stores that say that they are whole."""
    stores = [manifest.parent for manifest in folder.rglob("manifest.json")]
    return {file.name: file.read_bytes() for store in stores for file in store.glob("*.npy")}


def files_of(folder: Path, name: str) -> Outcome:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in (folder / name).rglob("*")
        if file.is_file() and "partial" not in str(file)
    }


def pictures_of(folder: Path) -> Outcome:
    target = folder / "packed.zip"
    if not target.exists():
        return {}
    with zipfile.ZipFile(target) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def training(folder: Path, *words: str) -> list[str]:
    return ["train", *words, *SMALL, f"runs_dir={folder}", f"hidden_states.directory={folder / 'stores'}"]


def trained(folder: Path) -> None:
    status, said = run_command(training(folder, "strategy=lora", "name=source", "trainer.max_epochs=1"))
    assert status == 0, said


def exporting(folder: Path) -> list[str]:
    (run,) = (file.parent for file in folder.rglob("record.json"))
    return ["export", f"run={run}", f"to={folder / 'export'}", "overwrite=true"]


def drawn(folder: Path) -> None:
    (folder / "pictures").mkdir()
    for number in range(300):
        (folder / "pictures" / f"{number}.png").write_bytes(encoded(number, "png"))


TASKS = {
    "training": Task(lambda folder: training(folder, "strategy=iisan_cached"), runs_of),
    "sweep": Task(lambda folder: training(folder, "-m", "strategy=id,frozen_cached", "measure=never"), runs_of),
    "store": Task(lambda folder: ["cache", "build", *training(folder, "strategy=iisan_cached")[1:]], arrays_of),
    "report": Task(
        lambda folder: ["report", str(folder / "made-up-example")],
        lambda folder: files_of(folder, "made-up-example/report"),
        lambda folder: write_example_records(folder, seeds=2, num_users=60),
    ),
    "export": Task(exporting, lambda folder: files_of(folder, "export"), trained),
    "pack": Task(
        lambda folder: ["images", "pack", str(folder / "pictures"), str(folder / "packed.zip"), "overwrite=true"],
        pictures_of,
        drawn,
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_nothing_is_lost_and_nothing_is_half(name: str, tmp_path: Path) -> None:
    task, folder, prepared = TASKS[name], tmp_path / "work", tmp_path / "prepared"
    prepared.mkdir()
    task.prepare(prepared)
    shutil.copytree(prepared, folder)
    started = time.monotonic()
    finish(task, folder)
    duration = time.monotonic() - started
    expected = task.outcome(folder)
    assert expected
    start_over(prepared, folder)  # in the same place: paths stand in some files
    chance = random.Random(name)
    starts = ends = 0
    while starts - ends < KILLS:
        assert starts < 5 * KILLS, "it ends before it is killed"
        starts += 1
        if kill(task, folder, chance.uniform(0, duration)):
            there = task.outcome(folder)
            assert {key: expected[key] for key in there} == there, "half of a file reads as whole"
        else:
            ends += 1
            assert_ended(task, folder, expected)
            start_over(prepared, folder)
    finish(task, folder)
    assert_ended(task, folder, expected)
    print(f"{name}: {KILLS} kills in {starts} starts, each within {duration:.1f} s; {ends + 1} ended, all alike")


def start_over(prepared: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(prepared, folder)


def assert_ended(task: Task, folder: Path, expected: Outcome) -> None:
    assert task.outcome(folder) == expected
    assert not abandoned_partials(folder)


def finish(task: Task, folder: Path) -> None:
    status, said = run_command(task.words(folder))
    assert status == 0, said


def kill(task: Task, folder: Path, after: float) -> bool:
    """Start the command and kill it and all that it started; False where it had ended before."""
    running = start_command(task.words(folder))
    assert running.output is not None
    time.sleep(after)  # for nothing: the moment of the kill is drawn
    running.signal(signal.SIGKILL)
    running.output.read()  # until the last that holds it is gone
    status = running.process.wait()
    running.close()
    assert status in (0, -signal.SIGKILL)
    return status != 0
