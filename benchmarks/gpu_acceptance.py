"""What this machine's GPU makes of the paper's shape, in nine minutes at most: one table and a JSON.

    make gpu-acceptance [PUBLISHED=CHECKOUT] [DATA=DIR] [OUT=DIR]
    python benchmarks/gpu_acceptance.py --out DIR [--published CHECKOUT] [--data-root DIR] [--minutes 9]

Steps of cached and uncached IISAN, LoRA, adapters and full fine-tuning on BERT-base and ViT-B/16 with random weights
(median, memory, share of the device's matrix rate), building a store, and, where a checkout of the published code
(GAIR-Lab/IISAN) is named, the same steps in turns with it. Each part is a process of its own, killed at its limit, and
what it measured is written as soon as it ends: DIR/acceptance.json and DIR/acceptance.md are whole after every part.

`--shape small --device cpu` takes the same road in a minute or two, for its test.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from acceptance.parts import PARTS, Setting
from acceptance.running import run_part
from acceptance.table import to_markdown
from cached_step import DEFAULT_ROOT

from peftrec.files import write_atomically


def main() -> int:
    """Run all parts, or the one that the parent asks for; return 1 where one of them did not end well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for table, JSON and logs")
    parser.add_argument("--published", type=Path, metavar="CHECKOUT", help="checkout of GAIR-Lab/IISAN")
    parser.add_argument("--data-root", type=Path, default=DEFAULT_ROOT, help="Amazon Scientific; made up where absent")
    parser.add_argument("--shape", choices=("paper", "small"), default="paper")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--batch-size", type=int, default=64, help="users a step, the same for all strategies")
    parser.add_argument("--seconds", type=float, default=12.0, help="that each part's steps are timed for")
    parser.add_argument("--store-items", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts together")
    parser.add_argument("--limit-factor", type=float, default=1.0, help="what each part's limit is multiplied by")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"comma-separated: {','.join(PARTS)}")
    parser.add_argument("--only", choices=tuple(PARTS), help=argparse.SUPPRESS)  # what a child measures
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device; --device cpu --shape small takes the same road on a CPU")
    if unknown := sorted(set(arguments.parts.split(",")) - set(PARTS)):
        parser.error(f"--parts: there is no {', '.join(unknown)}; choose from {', '.join(PARTS)}")
    setting = setting_of(arguments)
    if arguments.only is not None:
        figures = PARTS[arguments.only].run(setting)
        write_atomically(result_path(arguments.out, arguments.only), json.dumps(figures).encode())
        return 0
    return run_all(arguments, setting)


def setting_of(arguments: argparse.Namespace) -> Setting:
    """Return what all parts share."""
    return Setting(
        shape=arguments.shape,
        device=arguments.device,
        data_root=arguments.data_root,
        published=arguments.published,
        batch_size=arguments.batch_size,
        seconds=arguments.seconds,
        store_items=arguments.store_items,
    )


def result_path(out: Path, part: str) -> Path:
    """Return where a child leaves its figures, beside its log."""
    return out / "parts" / f"{part}.json"


def run_all(arguments: argparse.Namespace, setting: Setting) -> int:
    """Run the chosen parts one after the other, and write what is known after each."""
    ends = time.monotonic() + 60 * arguments.minutes
    (arguments.out / "parts").mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = {}
    for name in arguments.parts.split(","):
        if PARTS[name].needs_published and setting.published is None:
            continue
        limit = min(arguments.limit_factor * PARTS[name].limit, ends - time.monotonic())
        command = [sys.executable, *sys.argv, "--only", name]
        results[name] = run_part(command, result_path(arguments.out, name), limit=limit)
        write_results(arguments.out, setting, results)
        print(f"{name}: {results[name]['status']}", file=sys.stderr, flush=True)
    print(to_markdown(described(setting), results), end="")
    return 0 if all(found["status"] == "success" for found in results.values()) else 1


def described(setting: Setting) -> dict[str, Any]:
    """Return the setting and the versions as plain values."""
    plain = asdict(replace(setting, data_root=Path(setting.data_root.name)))
    kept = {key: str(value) if isinstance(value, Path) else value for key, value in plain.items()}
    return {**kept, "torch": torch.__version__}


def write_results(out: Path, setting: Setting, results: dict[str, dict[str, Any]]) -> None:
    """Replace both files by what is known now."""
    content = {"setting": described(setting), "parts": results}
    write_atomically(out / "acceptance.json", (json.dumps(content, indent=2) + "\n").encode())
    write_atomically(out / "acceptance.md", to_markdown(described(setting), results).encode())


if __name__ == "__main__":
    sys.exit(main())
