"""The parts of the acceptance, by name: what each measures in a process of its own, and how long it may take."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from published import our_models
from published.alternating import seconds_of
from published.bench import Bench
from published.cases import CASES
from published.our_models import Training
from published.workload import SHAPES, Workload, load_workload
from share_of_matrix_rate import matrix_rate
from store_build import describe, render, titles_of

from peftrec.data.content import ItemContent, Pixels
from peftrec.devices import device_name
from peftrec.hidden_states.building import BuildOptions, open_or_build
from peftrec.hidden_states.encoding import StateSource
from peftrec.strategies.adapter import Adapter
from peftrec.strategies.base import Strategy
from peftrec.strategies.full import Full
from peftrec.strategies.iisan import IISAN
from peftrec.strategies.lora import LoRA
from peftrec.training.measurement.first_step import probe_step

NUM_BATCHES = 4  # whose operations are counted; the steps take them in turns
NUM_WARM = 4
FEWEST_STEPS = 5  # for a median; whatever the seconds
NUM_STATES = 13  # of BERT-base and ViT-B/16
Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all parts share."""

    shape: str
    device: str
    data_root: Path
    published: Path | None
    batch_size: int
    seconds: float
    """That the steps of a part are timed for, after warming up."""
    store_items: int

    def work(self) -> Workload:
        """Read or make the sequences, titles and pictures."""
        shape = replace(SHAPES[self.shape], batch_size=self.batch_size)
        return load_workload(shape, self.data_root, self.published or Path("without a checkout"))


@dataclass(frozen=True, kw_only=True)
class Part:
    """One row."""

    run: Callable[[Setting], Figures]
    limit: float
    """Seconds after which its process is killed."""
    needs_published: bool = False


def measure_rate(setting: Setting) -> Figures:
    """Return the device's best matrix rate: bfloat16 on CUDA, float32 on a CPU."""
    device = torch.device(setting.device)
    return {"operations_per_second": matrix_rate(device), "device": device_name(device)}


def measure_live(setting: Setting, *, strategy: Strategy) -> Figures:
    """Time steps in which the towers run."""
    work = setting.work()
    module = our_models.assemble(strategy, our_models.towers_of(work.shape), work)
    return _measure_steps(setting, work, Training(module, torch.device(setting.device)), has_content=True)


def measure_cached(setting: Setting) -> Figures:
    """Time steps of IISAN on states that lie on the device."""
    work, device = setting.work(), torch.device(setting.device)
    size = (work.num_items, NUM_STATES, 768)
    states = {name: torch.randn(size, device=device) for name in ("image", "text")}
    module = our_models.over_stored_states(IISAN(states="store"), work, states)
    del states
    return _measure_steps(setting, work, Training(module, device), has_content=False)


def _measure_steps(setting: Setting, work: Workload, training: Training, *, has_content: bool) -> Figures:
    device = torch.device(setting.device)
    rows = work.order(setting.batch_size)[:NUM_BATCHES]
    batches = [work.batch(chosen, content=has_content).to(device) for chosen in rows]
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=training.autocasts)
    operations = [probe_step(training.module, batch, autocast()).operations for batch in batches]
    for _, batch in zip(range(NUM_WARM), cycle(batches), strict=False):
        training.step(batch)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds, rates = [], []
    started = time.perf_counter()
    for number, batch, count in _in_turns(batches, operations):
        if number >= FEWEST_STEPS and time.perf_counter() - started > setting.seconds:
            break
        seconds.append(seconds_of(partial(training.step, batch), device))
        rates.append(count / seconds[-1])
    trained = sum(p.numel() for p in training.module.parameters() if p.requires_grad)
    return {
        "users": setting.batch_size,
        "steps": len(seconds),
        "step_seconds": statistics.median(seconds),
        "step_seconds_quartiles": statistics.quantiles(seconds, n=4)[::2],
        "operations_per_second": statistics.median(rates),
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "trainable_parameters": trained,
    }


def _in_turns(batches: list[Any], operations: list[int]) -> Iterator[tuple[int, Any, int]]:
    for number, (batch, count) in enumerate(cycle(zip(batches, operations, strict=True))):
        yield number, batch, count


def measure_store(setting: Setting) -> Figures:
    """Build a store of every state of both towers: rendered JPEGs are decoded, titles tokenised beforehand."""
    device = torch.device(setting.device)
    pair = our_models.towers_of(SHAPES[setting.shape])
    assert pair.text is not None
    assert pair.image is not None
    titles = titles_of(setting.data_root, setting.store_items)
    text = replace(pair.text, tokenizer="package:tiny_towers/bert")
    content = ItemContent(
        by_tower={
            "text": text.tokenise(titles),
            "image": Pixels(render(len(titles)), pair.image.transform(), keep_bytes=0),
        }
    )
    source = StateSource(towers=pair.load(seed=0).to(device), content=content, item_ids=titles, device=device)
    compute = "bfloat16" if device.type == "cuda" else "float32"
    key = describe(source, dtype="float16", compute=compute)
    with tempfile.TemporaryDirectory() as folder:
        store = open_or_build(Path(folder), key, lambda: source, origins={}, options=BuildOptions(batch_size=64))
        taken, size = store.manifest.build_seconds, store.num_bytes
    return {"items": len(titles), "build_seconds": taken, "items_per_second": len(titles) / taken, "store_bytes": size}


def compare_with_published(setting: Setting, *, case: str) -> Figures:
    """Time one case of `against_published` in turns with the published code."""
    assert setting.published is not None
    bench = Bench(
        work=load_workload(SHAPES[setting.shape], setting.data_root, setting.published),
        checkout=setting.published,
        device=torch.device(setting.device),
        num_pairs=7,
    )
    found = CASES[case].run(bench)
    return {
        "published_seconds": statistics.median(found.theirs),
        "our_seconds": statistics.median(found.ours),
        "ratio": found.ratio,
        "ratio_spread": list(found.spread),
        "pairs": len(found.ours),
    }


COMPARED = ("cached_step", "uncached_iisan", "lora", "adapter", "fft")

PARTS: dict[str, Part] = {
    "matrix_rate": Part(run=measure_rate, limit=40),
    "iisan_cached": Part(run=measure_cached, limit=60),
    "iisan": Part(run=partial(measure_live, strategy=IISAN()), limit=60),
    "lora": Part(run=partial(measure_live, strategy=LoRA()), limit=60),
    "adapter": Part(run=partial(measure_live, strategy=Adapter()), limit=60),
    "full": Part(run=partial(measure_live, strategy=Full()), limit=75),
    "store": Part(run=measure_store, limit=90),
    **{
        f"published_{case}": Part(run=partial(compare_with_published, case=case), limit=60, needs_published=True)
        for case in COMPARED
    },
}
"""In the order in which they run: what matters most comes first, should the time not be enough for all."""
