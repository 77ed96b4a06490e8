"""The published IISAN code and this project on the same work, in turns, and the ratios of their times.

    python benchmarks/against_published.py --published PATH [--shape paper|small] [--cases cached_step,loss]
        [--device cpu|cuda] [--pairs 7] [--data-root DIR]

PATH is a checkout of the published repository (GAIR-Lab/IISAN), outside this one; its model and evaluation modules
are imported as they are, its commit is printed. Both sides get the same users in the same batches, towers of the same
shape with random weights, and random pictures and states. They differ where the methods do: the published code encodes
every place of every user (padding included), pads titles to 30 tokens and trains in float16 on CUDA; ours encodes each
distinct item of a batch once, pads to the batch's longest title and trains in bfloat16. Loaders are left out on both
sides, but for two rows that read stored states as a run does. On a CPU both compute in float32, but for the row that
says otherwise.

The published code was written for torch 1.13 and transformers 4.20 and runs here on the installed versions. Its ViT is
rebuilt in the module layout that it names (`published/earlier_vit.py`); LoRA needs `loralib`. What still cannot run
gets its reason in place of a figure. Ratio: theirs / ours, median over pairs, with the smallest and largest.
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch
import transformers
from cached_step import DEFAULT_ROOT
from published.alternating import Comparison
from published.bench import Bench, DisagreementError
from published.cases import CASES
from published.loading import CannotRunError, NotACheckoutError, load_published
from published.workload import SHAPES, load_workload

_COLUMNS = "{:<15} {:>13} {:>13} {:>8}  {:<16} {}"


def main() -> None:
    """Compare the chosen cases and print a row for each as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, required=True, metavar="PATH", help="checkout of GAIR-Lab/IISAN")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    parser.add_argument("--cases", type=case_names, default=list(CASES), help=f"comma-separated: {','.join(CASES)}")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--data-root", type=Path, default=DEFAULT_ROOT, help="Amazon Scientific; made up where absent")
    arguments = parser.parse_args()
    try:
        load_published(arguments.published, "Code_Cached")
    except NotACheckoutError as error:
        parser.error(f"--published: {error}")
    work = load_workload(SHAPES[arguments.shape], arguments.data_root, arguments.published)
    bench = Bench(work=work, checkout=arguments.published, device=arguments.device, num_pairs=arguments.pairs)
    print_setting(bench)
    print(_COLUMNS.format("case", "published", "ours", "ratio", "(min-max)", "timed"))
    for name in arguments.cases:
        print(row(name, bench), flush=True)
        gc.collect()  # modules hold cycles; their memory must be free before the next case


def case_names(text: str) -> list[str]:
    """Split and check a list of cases."""
    names = text.split(",")
    unknown = sorted(set(names) - set(CASES))
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; choose from {', '.join(CASES)}")
    return names


def row(name: str, bench: Bench) -> str:
    """Run a case and return its row."""
    case = CASES[name]
    try:
        found = case.run(bench)
    except (CannotRunError, DisagreementError, RuntimeError) as error:  # torch's own are of the last kind; others go on
        return _COLUMNS.format(name, "-", "-", "-", "no figure:", str(error).split("\n", maxsplit=1)[0])
    low, high = found.spread
    spread = f"({low:.2f}-{high:.2f})"
    return _COLUMNS.format(name, *medians(found), f"{found.ratio:.2f}", spread, case.timed)


def medians(found: Comparison) -> tuple[str, str]:
    """Return both medians in milliseconds."""
    return tuple(f"{statistics.median(side) * 1e3:,.1f} ms" for side in (found.theirs, found.ours))  # type: ignore[return-value]


def print_setting(bench: Bench) -> None:
    """Print what the figures depend on."""
    work = bench.work
    users = work.shape.max_users or len(work.split.test)
    where = torch.cuda.get_device_name(bench.device) if bench.device.type == "cuda" else "CPU"
    load = os.getloadavg()[0]
    print(f"published code: {commit_of(bench.checkout)}; torch {torch.__version__}, transformers", end=" ")
    print(f"{transformers.__version__}")
    print(f"shape {work.shape}; evaluation of {users:,} users over {work.num_items:,} items")
    print(f"{where}, {torch.get_num_threads()} threads, load {load:.1f}; {bench.num_pairs} pairs; {work.title_source}")


def commit_of(checkout: Path) -> str:
    """Return the checkout's commit, or say that there is none."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else "no git checkout"


if __name__ == "__main__":
    sys.exit(main())
