"""Training steps: the same users, both sides with their own optimizer, precision and padding."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from peftrec.strategies.base import Strategy
from peftrec.strategies.iisan import IISAN
from published import our_models, their_models
from published.alternating import Comparison, Prepared
from published.bench import Bench

NUM_STATES = 13  # of BERT-base and ViT-B/16; a constant of the published code


def cached_step(bench: Bench, *, in_bfloat16: bool = False) -> Comparison:
    """Compare steps of IISAN on stored states: from the users of a batch to updated weights.

    Both sides gather from states in memory, on the device: theirs all 13 of every place, as its data set hands them
    over (from one file an item, which is left out), ours those that are read of each distinct item.
    """
    work, device = bench.work, bench.device
    generator = torch.Generator().manual_seed(0)
    shape = (work.num_items, NUM_STATES, their_models.WIDTH)
    states = {name: torch.randn(shape, generator=generator).to(device) for name in ("image", "text")}
    model = their_models.cached_model(bench.code("Code_Cached"), work.popularity())
    theirs = their_models.Training(model, device)
    ours = our_models.Training(
        our_models.over_stored_states(IISAN(states="store"), work, states), device, in_bfloat16=in_bfloat16
    )
    order = work.order(work.shape.batch_size)

    def their_step(rows: np.ndarray) -> None:
        ids, mask = (tensor.to(device) for tensor in work.occurrences(rows))
        theirs.step(ids, _by_place(states["image"], ids), _by_place(states["text"], ids), mask)

    def prepare(pair: int) -> Prepared:
        rows = order[pair % len(order)]
        return lambda: their_step(rows), lambda: ours.step(work.batch(rows, content=False).to(device))

    return bench.compare(prepare)


def _by_place(states: Tensor, ids: Tensor) -> Tensor:
    """Return the states of every place, zeros for padding."""
    return states[ids.clamp(min=1) - 1].masked_fill_((ids == 0)[:, :, None, None], 0.0)


def live_step(bench: Bench, build: Callable[..., nn.Module], strategy: Strategy, batch_size: int) -> Comparison:
    """Compare steps in which the towers run: theirs over 11 places a user, ours over the batch's distinct items."""
    work, device = bench.work, bench.device
    model = build(bench.code("Code_Uncached"), work.shape, work.popularity())
    theirs = their_models.Training(model, device)
    ours = our_models.Training(our_models.assemble(strategy, our_models.towers_of(work.shape), work), device)
    order = work.order(batch_size)

    def prepare(pair: int) -> Prepared:
        rows = order[pair % len(order)]
        ids, mask = work.occurrences(rows)
        pixels, titles = work.published_pixels(ids), work.published_titles(ids)
        there = (ids.to(device), pixels.to(device), titles.to(device), mask.to(device))
        batch = work.batch(rows, content=True).to(device)
        return lambda: theirs.step(*there), lambda: ours.step(batch)

    return bench.compare(prepare)


def uncached_step(bench: Bench) -> Comparison:
    """Compare steps of IISAN on towers that run."""
    return live_step(bench, their_models.uncached_model, IISAN(), bench.work.shape.batch_size)


def embedded_step(build: Callable[..., nn.Module], strategy: Strategy) -> Callable[[Bench], Comparison]:
    """Return the comparison of a method that trains inside the towers."""
    return lambda bench: live_step(bench, build, strategy, bench.work.shape.embedded_batch_size)
