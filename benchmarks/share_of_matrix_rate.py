"""What part of the device's matrix rate the runs of a folder reached while training.

    python benchmarks/share_of_matrix_rate.py RUNS_DIR

The rate is measured now, on this machine, as the best of several products of square matrices: bfloat16 on CUDA,
float32 on a CPU. A run's operations are its record's count for one step (forward and backward), times its steps a
second. Runs of another device than this one are refused: their share would mean nothing.
"""

import argparse
import time
from pathlib import Path

import torch

from peftrec.devices import device_name
from peftrec.errors import RecordError
from peftrec.results.runs import find_runs

SIDES = {"cuda": 8192, "cpu": 2048}
REPEATS = 7


def matrix_rate(device: torch.device) -> float:
    """Return operations a second of the best product."""
    side = SIDES[device.type]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(REPEATS):
        _synchronise(device)
        started = time.perf_counter()
        torch.mm(left, right)
        _synchronise(device)
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Print one line a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs_dir", type=Path)
    runs = [run for run in find_runs(parser.parse_args().runs_dir) if run.is_success]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rate = matrix_rate(device)
    print(f"{device_name(device)}: {rate / 1e12:.3g} Top/s")
    for run in runs:
        record, cost = run.record, run.record.efficiency
        if record.latest.device != device_name(device):
            raise RecordError(f"{run.name} ran on {record.latest.device}, this is {device_name(device)}")
        if cost is None or cost.steps_per_second is None or cost.step_operations is None:
            print(f"{record.strategy:<16} no second epoch, so no rate")
            continue
        reached = cost.step_operations * cost.steps_per_second
        print(f"{record.strategy:<16} {reached / 1e12:8.4f} Top/s  {reached / rate:6.1%} of the matrix rate")


if __name__ == "__main__":
    main()
