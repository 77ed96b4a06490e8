"""A decoder of billions of parameters through a hidden-state store: what was planned, what it took, and training on it.

    python benchmarks/large_decoder.py [--shape qwen3-0.6b|qwen3-4b|qwen3-8b] [--items 300] [--whole] [--folder DIR]

The weights are random, in bfloat16, in the shards and under the names of published checkpoints; they are written to DIR
once, without the decoder ever being in memory. `--whole` loads the encoder whole in place of leaving its blocks in
their files (`towers.text.offload=true`). Peaks are of resident memory, of a process of its own each, and of
that what is no page of a file.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig

from peftrec.devices import free_host_memory
from peftrec.models.towers.encoders import shaped_encoder
from peftrec.models.towers.families import FAMILIES

GIBIBYTE = 2**30
HEADS = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936}
# config.json of Qwen/Qwen3-0.6B, -4B and -8B
SHAPES = {
    "tiny": {**HEADS, "hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 128, "vocab_size": 2000},
    "qwen3-0.6b": HEADS
    | {"hidden_size": 1024, "num_hidden_layers": 28, "intermediate_size": 3072, "num_attention_heads": 16},
    "qwen3-4b": HEADS | {"hidden_size": 2560, "num_hidden_layers": 36, "intermediate_size": 9728},
    "qwen3-8b": HEADS | {"hidden_size": 4096, "num_hidden_layers": 36, "intermediate_size": 12288},
}
PLANNED = re.compile(r'"resident_bytes": (\d+)')
BLOCK = re.compile(r"layers\.(\d+)\.")


@dataclass(frozen=True)
class Took:
    """What a command took."""

    seconds: float
    peak: int
    """Most resident bytes, its children's included."""
    own_peak: int
    """Most resident bytes that are no page of a file."""


def write_checkpoint(folder: Path, shape: str) -> int:
    """Write the decoder where it is not, a shard a block, and return how many parameters an encoder of it has."""
    config = AutoConfig.for_model("qwen3", **SHAPES[shape])
    encoder = shaped_encoder(config, FAMILIES["qwen3"], key="shape")
    tensors = {f"model.{name}": tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    by_shard: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, size in tensors.items():
        found = BLOCK.search(name)
        by_shard.setdefault(f"model-{int(found[1]) + 1 if found else 0:05d}.safetensors", {})[name] = size
    if not (folder / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        generator = torch.Generator().manual_seed(0)
        for shard, sizes in by_shard.items():
            save_file({name: _drawn(size, generator) for name, size in sizes.items()}, folder / shard, {"format": "pt"})
        places = {name: shard for shard, sizes in by_shard.items() for name in sizes}
        index = {"metadata": {}, "weight_map": places}  # which transformers asks for
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        config.save_pretrained(folder)  # last: without it nothing is taken for written
    return sum(parameter.numel() for parameter in encoder.parameters())


def _drawn(size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return a norm's weight of ones, or a matrix as transformers initialises one."""
    if len(size) == 1:
        return torch.ones(size, dtype=torch.bfloat16)
    return torch.empty(size, dtype=torch.bfloat16).normal_(0, 0.02, generator=generator)


def observed(command: list[str]) -> Took:
    """Run a command of peftrec and watch its memory."""
    began = time.perf_counter()
    process = psutil.Popen([sys.executable, "-m", "peftrec", *command])
    peaks = [0, 0]
    watching = threading.Thread(target=_watch, args=(process, peaks))
    watching.start()
    status = process.wait()
    watching.join()
    if status != 0:
        sys.exit(f"peftrec {' '.join(command)} ended with {status}")
    return Took(time.perf_counter() - began, *peaks)


def _watch(process: psutil.Process, peaks: list[int]) -> None:
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        try:
            infos = [each.memory_info() for each in (process, *process.children(recursive=True))]
        except psutil.NoSuchProcess:
            continue
        peaks[0] = max(peaks[0], sum(info.rss for info in infos))
        peaks[1] = max(peaks[1], sum(info.rss - info.shared for info in infos))
        time.sleep(0.05)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary) / "decoder").resolve()
        number = write_checkpoint(folder, options.shape)
        held = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        print(
            f"{options.shape}: {number:,} parameters, {held / GIBIBYTE:.1f} GiB of files, "
            f"{4 * number / GIBIBYTE:.1f} GiB in float32; {free_host_memory() / GIBIBYTE:.1f} GiB of memory are free"
        )
        words = [
            *("towers=minilm_text", f"towers.text.checkpoint={folder}", "towers.text.revision=null"),
            *("towers.text.pooling=null", "towers.text.tokenizer=package:tiny_towers/bert"),
            *(f"towers.text.offload={str(not options.whole).lower()}", "strategy=iisan_cached", "trainer=cpu"),
            *(f"data.num_items={options.items}", "data.num_users=200", "trainer.max_epochs=2"),
            *(f"runs_dir={temporary}/runs", f"hidden_states.batch_size={options.items}"),
        ]
        plan = subprocess.run(
            [sys.executable, "-m", "peftrec", "plan", "--json", *words], stdout=subprocess.PIPE, text=True, check=True
        )
        found = PLANNED.search(plan.stdout)
        assert found is not None, "a plan says what towers take in memory"
        print(f"planned: {int(found[1]) / GIBIBYTE:.2f} GiB of the towers' weights in memory")
        for name, command in {"cache build": ["cache", "build", *words], "train": ["train", *words]}.items():
            took = observed(command)
            print(
                f"{name}: {took.seconds:.0f} s, at most {took.peak / GIBIBYTE:.2f} GiB, of which "
                f"{took.own_peak / GIBIBYTE:.2f} are no pages of files"
            )


if __name__ == "__main__":
    main()
