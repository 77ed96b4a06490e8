"""Batches as an objective sees them, with few items, so that targets repeat within a window and across users."""

import torch

from peftrec.models.objectives.inputs import ObjectiveInputs

DIM, STEPS = 5, 4


def random_batch(seed: int, *, num_users: int = 5, num_items: int = 9, num_drawn: int = 0) -> ObjectiveInputs:
    """Return a random whole batch in float64; `num_drawn` of the catalogue's items are drawn beside it."""
    generator = torch.Generator().manual_seed(seed)
    taken = torch.randint(0, num_items, (num_users, STEPS + 1), generator=generator)
    lengths = torch.randint(2, STEPS + 2, (num_users, 1), generator=generator)
    mask = torch.arange(STEPS + 1) >= STEPS + 1 - lengths
    beside = torch.randperm(num_items, generator=generator)[:num_drawn]
    pool, rows = torch.cat([taken[mask], beside]).unique(return_inverse=True)
    sequences = torch.zeros_like(taken)
    sequences[mask] = rows[: int(mask.sum())]
    shares = torch.rand(len(pool), generator=generator, dtype=torch.float64) + 0.05
    return ObjectiveInputs(
        states=torch.randn(num_users, STEPS, DIM, generator=generator, dtype=torch.float64).requires_grad_(),
        embeddings=torch.randn(len(pool), DIM, generator=generator, dtype=torch.float64).requires_grad_(),
        sequences=sequences,
        mask=mask,
        log_popularity=(shares / (2 * shares.sum())).log(),
        drawn=torch.isin(pool, beside) if num_drawn else None,
    )
