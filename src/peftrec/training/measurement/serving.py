"""What using a trained model costs: keeping it, encoding items, answering users. Measured, in bounded time.

Medians of repeated measurements in this process and under the run's own conditions: they rank strategies on one
machine, and promise nothing about a service.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.data.batches import ItemBatch
from peftrec.data.content import ItemContent
from peftrec.data.loading import padded_sequences
from peftrec.data.split import RankingCases
from peftrec.results.costs import Serving, ServingTimes
from peftrec.training.encoding import ITEMS_AT_ONCE
from peftrec.training.module import RecommenderModule
from peftrec.training.parameter_groups import tensor_bytes

BUDGET_SECONDS = 1.0
"""Of each of the measurements; the first call of each is not counted."""
_MOST_CALLS = 200
_FEWEST_CALLS = 5
_ANSWER = 10


@torch.inference_mode()
def measure_serving(
    module: RecommenderModule,
    catalogue: Float[Tensor, "candidate dim"],
    cases: RankingCases,
    *,
    sequence_length: int,
    reads_times: bool,
    runs_towers: bool,
) -> Serving:
    """Measure a module that is ready to score, on its own device; `runs_towers` says whether it encodes an item through
    its towers. Nothing of the module is changed."""
    num_items, device = len(catalogue), module.device
    items = module.content.encoding_order(num_items)
    one = timed(lambda call: _encode(module, module.content, items[[call % num_items]]), device)
    answers = timed(
        lambda call: _answer(module, catalogue, cases, call, sequence_length=sequence_length, reads_times=reads_times),
        device,
    )
    seconds, encoded = _catalogue_seconds(module, items)
    return Serving(
        kept_bytes=tensor_bytes(parameter for parameter in module.parameters() if parameter.requires_grad),
        num_items=num_items,
        as_trained=ServingTimes(
            item_seconds=statistics.median(one),
            new_item_seconds=statistics.median(one) if runs_towers else None,
            catalogue_seconds=seconds,
            encoded_items=encoded,
        ),
        answer_seconds_p50=float(np.percentile(answers, 50)),
        answer_seconds_p99=float(np.percentile(answers, 99)),
        num_answers=len(answers),
    )


def timed(call: Callable[[int], object], device: torch.device) -> list[float]:
    """Return the seconds of repeated calls, each synchronised, after one that is not counted."""
    call(0)
    _synchronise(device)
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < _MOST_CALLS:
        started = time.perf_counter()
        call(len(seconds) + 1)
        _synchronise(device)
        seconds.append(time.perf_counter() - started)
        if len(seconds) >= _FEWEST_CALLS and time.perf_counter() - began > BUDGET_SECONDS:
            break
    return seconds


def _encode(module: RecommenderModule, content: ItemContent, items: np.ndarray) -> Tensor:
    batch: ItemBatch = content.batch(items).to(module.device)
    return module.recommender.embed(batch)


def _catalogue_seconds(module: RecommenderModule, items: np.ndarray) -> tuple[float, int]:
    """Return the seconds for all items and how many were encoded: blocks evenly over the catalogue, whose titles are
    sorted by length, until the time is used up."""
    blocks = np.array_split(items, range(ITEMS_AT_ONCE, len(items), ITEMS_AT_ONCE))
    order = np.random.default_rng(0).permutation(len(blocks))
    spent, encoded = 0.0, 0
    for number in order:
        started = time.perf_counter()
        _encode(module, module.content, blocks[number])
        _synchronise(module.device)
        spent += time.perf_counter() - started
        encoded += len(blocks[number])
        if spent > BUDGET_SECONDS:
            break
    return spent * len(items) / encoded, encoded


def _answer(
    module: RecommenderModule,
    catalogue: Float[Tensor, "candidate dim"],
    cases: RankingCases,
    call: int,
    *,
    sequence_length: int,
    reads_times: bool,
) -> Tensor:
    """Answer one user as a service does: the history's state, all scores, what was taken already out, the best."""
    user = np.array([call % len(cases)])
    history = padded_sequences(cases.histories, user, sequence_length, reads_times=reads_times).to(module.device)
    states = module.recommender.last_states(catalogue, history.items, history.mask, history.times)
    scores = (states @ catalogue.T)[0]
    scores[history.items[history.mask]] = -torch.inf
    return torch.topk(scores, min(_ANSWER, len(catalogue))).indices.cpu()


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
