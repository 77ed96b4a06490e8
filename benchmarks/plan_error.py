"""What `peftrec plan` says of memory, against what runs measure: every strategy, a process a run.

    python benchmarks/plan_error.py [--steps 4] [--strategies full,lora] [OVERRIDE ...]

Three figures are compared, planned over measured minus one:

exact   the total of weights, gradients, optimizer state and saved tensors, as the run's record holds it
peak    the most that is alive at a moment. On CUDA `max_memory_allocated` of the run, against the plan of the largest
        batch; on a CPU what torch's allocator hands out during one step on the run's first batch, from the profiler's
        log, against the plan of that batch
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

import torch
from torch.profiler import ProfilerActivity, profile

from peftrec.config.folder import config_directory
from peftrec.data.loading import EpochOrder, TrainingBatches
from peftrec.planning.plan import plan_run
from peftrec.planning.request import PlanRequest
from peftrec.planning.step import StepPlanner
from peftrec.planning.target import find_target
from peftrec.planning.workloads import read_workload
from peftrec.results.record import read_record
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings
from peftrec.training.building.assembly import assemble
from peftrec.training.building.reading import prepare_data
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
    if run["cuda"] is None:
        planner = StepPlanner(settings, num_items=workload.num_items, sequence_length=workload.sequence_length)
        planned_peak = planner.plan(plan.batches.first).peak_bytes
        measured_peak = measured_apart("step", overrides)["peak"]
    else:
        planned_peak, measured_peak = plan.peak_bytes, run["cuda"]
    pairs = (
        (plan.exact_bytes.total, run["exact"]),
        (planned_peak, measured_peak),
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
        "cuda": efficiency.cuda_max_allocated_bytes,
    }


def measure_step(settings: Settings) -> dict[str, int]:
    """Return the peak of what a CPU's allocator hands out in a step, in the order of Lightning's loop: forward, drop
    the last gradients, backward. Two steps come before, which leave optimizer state and gradients behind."""
    split = prepare_data(settings)
    assembled = assemble(settings, split, torch.device("cpu"))
    store, module = assembled.store, assembled.module
    module.set_training_modes()
    order = EpochOrder(len(split.windows), batch_size=settings.batch_size, seed=settings.seed)
    batches = TrainingBatches(split.windows, module.content, length=split.sequence_length + 1)
    batch = batches[next(iter(order))]
    optimizer, arithmetic = module.configure_optimizers(), find_target(settings).arithmetic
    for _ in range(2):
        with arithmetic():
            loss = module.loss(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        del loss
    before = sum(tensor.untyped_storage().nbytes() for tensor in _standing(module, optimizer, batch))
    before += 0 if store is None or store.placement == "disk" else store.num_bytes
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        with arithmetic():
            loss = module.loss(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
    changes = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]  # type: ignore[union-attr]
    live = peak = before
    for event in sorted(changes, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return {"peak": peak}


def _standing(module: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> list[torch.Tensor]:
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    states = [value for state in optimizer.state.values() for value in state.values()]
    return [*module.parameters(), *module.buffers(), *gradients, *states, *batch.tensors()]


MEASUREMENTS = {"run": measure_run, "step": measure_step}

if __name__ == "__main__":
    main()
