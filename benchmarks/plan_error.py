"""What `peftrec plan` says of memory, against what runs measure: every strategy, a process a run.

    python benchmarks/plan_error.py [--steps 4] [--strategies full,lora] [OVERRIDE ...]

Three figures are compared, planned over measured minus one:

exact   the total of weights, gradients, optimizer state and saved tensors, as the run's record holds it
peak    the most that the device's allocator held in a step, as the run's record holds it, against the plan of the
        largest batch
process on a CPU, the run's resident peak less what was resident before the model was built, against the plan of the
        largest batch. It also holds decoded images, libraries that load late, and freed memory that was not given
        back: no plan counts them

By default the built-in data through the tiny towers, 256 users a batch; OVERRIDEs are those of `peftrec train`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from peftrec.config.folder import config_directory
from peftrec.planning.plan import plan_run
from peftrec.planning.request import PlanRequest
from peftrec.planning.workloads import read_workload
from peftrec.results.record import read_record
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings
from peftrec.training.run.pipeline import train_run

DEFAULTS = ["trainer.has_progress_bar=false", "trainer.max_epochs=1", "logger=none", "batch_size=256"]
MEBIBYTE = 2**20


def main() -> None:
    """Plan in this process, measure in others, print a row a strategy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--strategies", default=",".join(all_strategies()))
    parser.add_argument("--measure", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    arguments, overrides = parser.parse_known_args()
    if arguments.measure:
        print(json.dumps(MEASUREMENTS[arguments.measure](compose_settings(overrides))))
        return
    print(
        f"{'strategy':<22}{'exact':>12}{'error':>8}{'peak':>12}{'error':>8}{'process':>12}{'error':>8}   (MiB measured)"
    )
    for strategy in arguments.strategies.split(","):
        with tempfile.TemporaryDirectory() as folder:
            own = [f"strategy={strategy}", f"runs_dir={folder}", f"trainer.max_steps_per_epoch={arguments.steps}"]
            print(compare(strategy, [*DEFAULTS, *own, *overrides]), flush=True)


def all_strategies() -> list[str]:
    """Name every strategy there is."""
    return sorted(file.stem for file in (config_directory() / "strategy").glob("*.yaml"))


def compare(strategy: str, overrides: Sequence[str]) -> str:
    """Return one row."""
    settings = compose_settings(overrides)
    workload = read_workload(settings)
    plan = plan_run(strategy, settings, workload, PlanRequest())
    run = measured_apart("run", overrides)
    pairs = (
        (plan.exact_bytes.total, run["exact"]),
        (plan.memory_bytes, run["peak"]),
        (plan.peak_bytes, run["resident"]),
    )
    return f"{strategy:<22}" + "".join(_cells(planned, measured) for planned, measured in pairs)


def _cells(planned: int, measured: int | None) -> str:
    if measured is None:
        return f"{'':>20}"
    return f"{measured / MEBIBYTE:>12.1f}{planned / measured - 1:>+8.1%}"


def measured_apart(what: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, *overrides]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(shown.splitlines()[-1])
    return found


def measure_run(settings: Settings) -> dict[str, int | None]:
    """Train and return what the record says."""
    efficiency = read_record(train_run(settings).run_directory).efficiency
    assert efficiency is not None
    assert efficiency.exact_bytes is not None
    return {
        "exact": efficiency.exact_bytes.total,
        "resident": efficiency.resident_peak_bytes,
        "peak": efficiency.peak_memory_bytes,
    }


MEASUREMENTS = {"run": measure_run}

if __name__ == "__main__":
    main()
