"""What the machine did: own time with that of children, other programs' time apart, and null where nothing tells."""

import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from peftrec.training.measurement.energy import find_meter
from peftrec.training.measurement.machine import (
    Counters,
    MachineWatch,
    _Place,
    children_seconds,
    machine_seconds,
    stalled_seconds,
    summed,
)

SECONDS = 0.3
BUSY = f"import time\nwhile time.process_time() < {SECONDS}: pass"
HAS_PROC = Path("/proc/stat").exists()


def burn(seconds: float = SECONDS) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def burn_and_wait(seconds: float) -> None:
    burn(seconds)
    time.sleep(60)


def watched() -> MachineWatch:
    watch = MachineWatch()
    watch.start()
    return watch


def test_own_work_is_processor_time_and_sleep_is_not() -> None:
    watch = watched()
    time.sleep(SECONDS)
    assert watch.read().processor_seconds < SECONDS / 2
    burn()
    assert watch.read().processor_seconds == pytest.approx(SECONDS, rel=0.5)


def test_children_count_as_own_whether_they_ended_or_not() -> None:
    watch = watched()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    ended = watch.read().processor_seconds
    assert ended > 0.9 * SECONDS
    if not HAS_PROC:
        return
    worker = get_context("fork").Process(target=burn_and_wait, args=(SECONDS,))
    others = children_seconds()  # of what earlier tests left running
    worker.start()
    while children_seconds() < others + 0.9 * SECONDS:
        time.sleep(0.02)
    running = watch.read().processor_seconds
    worker.kill()
    worker.join()
    assert running >= ended + 0.9 * SECONDS
    assert watch.read().processor_seconds >= running - 0.05, "nothing is lost when it ends"


@pytest.mark.skipif(not HAS_PROC, reason="no /proc here")
def test_another_program_is_seen_and_is_not_own_work() -> None:
    busy = BUSY + "\ntime.sleep(5)"  # it still lives when it is looked at
    starter = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {busy!r}])"
    watch = watched()
    subprocess.run([sys.executable, "-c", starter], check=True, stdout=subprocess.DEVNULL)  # a stranger's child
    time.sleep(3 * SECONDS)
    use = watch.read()
    assert use.other_processor_seconds is not None
    assert use.other_processor_seconds > 0.5 * SECONDS


def write_root(root: Path, *, busy: int, steal: int, stalled: int) -> None:
    (root / "proc/pressure").mkdir(parents=True, exist_ok=True)
    (root / "proc/stat").write_text(f"cpu  {busy} 1 2 900 5 3 4 {steal} 50 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n")
    (root / "proc/pressure/cpu").write_text(
        f"some avg10=0.00 avg60=0.00 avg300=0.00 total={stalled}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
    )


def test_the_kernel_s_counters_are_read_by_their_places(tmp_path: Path) -> None:
    write_root(tmp_path, busy=1000, steal=70, stalled=2_500_000)
    assert machine_seconds(tmp_path) == (pytest.approx(10.10), pytest.approx(0.70))
    assert stalled_seconds(tmp_path) == pytest.approx(2.5)
    watch = MachineWatch(root=tmp_path)
    watch.start()
    write_root(tmp_path, busy=1500, steal=90, stalled=3_000_000)
    use = watch.read()
    assert use.other_processor_seconds == pytest.approx(5.0, abs=0.2), "less what this process took meanwhile"
    assert use.steal_seconds == pytest.approx(0.2)
    assert use.stalled_seconds == pytest.approx(0.5)


def test_a_witness_that_is_not_there_is_null(tmp_path: Path) -> None:
    watch = MachineWatch(torch.device("cpu"), root=tmp_path)
    watch.start()
    use = watch.read()
    assert use.processor_seconds >= 0
    assert (use.other_processor_seconds, use.steal_seconds, use.stalled_seconds) == (None, None, None)
    assert (use.joules, use.energy_source, use.throttled_seconds) == (None, None, None)


def test_processes_of_one_host_see_one_machine() -> None:
    counters = Counters(own=3.0, machine=10.0, steal=1.0, stalled=2.0, switches=5)
    here = _Place(host="a", counters=counters, load=1.0, source=None)
    twin = replace(here, counters=replace(counters, own=4.0), load=2.0)
    there = replace(here, host="b")
    use = summed([here, twin])
    assert (use.processor_seconds, use.other_processor_seconds, use.steal_seconds) == (7.0, 3.0, 1.0)
    assert (use.involuntary_switches, use.load_average, use.stalled_seconds) == (10, 2.0, 2.0)
    use = summed([here, twin, there])
    assert (use.processor_seconds, use.other_processor_seconds, use.steal_seconds) == (10.0, 10.0, 2.0)


def test_the_packages_energy_is_summed_through_a_full_counter(tmp_path: Path) -> None:
    def write(package: int, energy: int) -> None:
        folder = tmp_path / f"sys/class/powercap/intel-rapl:{package}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "energy_uj").write_text(f"{energy}\n")
        (folder / "max_energy_range_uj").write_text("10000000\n")

    write(0, 9_000_000)
    write(1, 1_000_000)
    watch = MachineWatch(torch.device("cpu"), root=tmp_path)
    watch.start()
    write(0, 500_000)  # full once: 1.5 J
    write(1, 3_000_000)
    use = watch.read()
    assert use.joules == pytest.approx(3.5)
    assert use.energy_source == "rapl"
    assert find_meter(torch.device("cpu"), root=tmp_path, is_first=False) is None, "one process of a host counts"


def test_a_counter_that_went_back_says_nothing() -> None:
    earlier = Counters(own=3.0, machine=10.0, steal=4.0, stalled=2.0, switches=5)
    later = Counters(own=2.5, machine=12.0, steal=1.0, stalled=2.5, switches=4)
    assert later.since(earlier) == Counters(own=0.0, machine=2.0, steal=None, stalled=0.5, switches=None)
