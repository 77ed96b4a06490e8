"""HSTU against its equations, written out step by step; its size; what it knows of times."""

import math

import pytest
import torch
from torch import Tensor

from peftrec.models.user_encoders.hstu import NUM_BUCKETS, HSTUBlock, HSTUEncoder, buckets
from peftrec.user_encoders.hstu import HSTU, TimedHSTU

DIM, LENGTH, USERS, HEADS, WIDTH = 6, 5, 3, 2, 4


def encoder(*, reads_times: bool) -> HSTUEncoder:
    torch.manual_seed(0)
    built = HSTUEncoder(
        dim=DIM,
        sequence_length=LENGTH,
        num_blocks=2,
        num_heads=HEADS,
        head_dim=WIDTH,
        dropout=0.3,
        reads_times=reads_times,
    )
    for parameter in built.parameters():
        parameter.data.normal_(std=0.5)  # so that every term is seen
    return built.double().eval()


def histories() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.randn(USERS, LENGTH, DIM, generator=generator, dtype=torch.float64)
    mask = torch.arange(LENGTH) >= LENGTH - torch.tensor([2, LENGTH, 4])[:, None]
    gaps = torch.randint(0, 10**6, (USERS, LENGTH), generator=generator)
    return embeddings, mask, (1_500_000_000 + gaps.cumsum(1)) * mask


def norm(vector: Tensor) -> Tensor:
    return (vector - vector.mean()) / (vector.var(unbiased=False) + 1e-6).sqrt()


def silu(vector: Tensor) -> Tensor:
    return vector / (1 + torch.exp(-vector))


def literal_block(block: HSTUBlock, states: list[Tensor], times: list[int] | None) -> list[Tensor]:
    """One user without padding."""
    parts = [silu(block.inputs.weight @ norm(state)).split(HEADS * WIDTH) for state in states]
    found = []
    for i, state in enumerate(states):
        gate, _, query, _ = parts[i]
        attended = torch.zeros(HEADS * WIDTH, dtype=torch.float64)
        for j in range(i + 1):
            bias = block.of_distance.weight[i - j, 0]
            if block.of_time is not None and times is not None:
                bucket = min(math.floor(math.log(max(1, times[i] - times[j])) / 0.301), 128)
                bias = bias + block.of_time.weight[bucket, 0]
            for head in range(HEADS):
                own = slice(head * WIDTH, (head + 1) * WIDTH)
                weight = silu(query[own] @ parts[j][3][own] + bias) / LENGTH
                attended[own] += weight * parts[j][1][own]
        found.append(state + block.output.weight @ (gate * norm(attended)) + block.output.bias)
    return found


@torch.no_grad()
@pytest.mark.parametrize("reads_times", [True, False])
def test_agrees_with_its_equations(reads_times: bool) -> None:
    model, (embeddings, mask, times) = encoder(reads_times=reads_times), histories()
    found = model(embeddings, mask, times if reads_times else None)
    for user in range(USERS):
        places = mask[user].nonzero()[:, 0].tolist()
        states = [DIM**0.5 * embeddings[user, each] + model.position_embedding.weight[each] for each in places]
        for block in model.blocks:
            assert isinstance(block, HSTUBlock)
            states = literal_block(block, states, times[user, places].tolist() if reads_times else None)
        torch.testing.assert_close(found[user, places], torch.stack(states))


def test_buckets_grow_with_the_logarithm_and_end() -> None:
    durations = torch.tensor([-5, 0, 1, 2, 3_600, 2**62])
    logarithm = math.floor(math.log(3_600) / 0.301)
    assert buckets(durations).tolist() == [0, 0, 0, 2, logarithm, NUM_BUCKETS - 1]


@pytest.mark.parametrize(("settings", "of_time"), [(HSTU(), 0), (TimedHSTU(), 129)])
def test_its_size(settings: HSTU, of_time: int) -> None:
    """D (4 H d) + H d D + D and a number for each distance, a block; positions once."""
    dim, length, heads, width = 64, 10, settings.num_heads, settings.head_dim
    block = dim * 4 * heads * width + heads * width * dim + dim + length + of_time
    built = settings.build(dim=dim, sequence_length=length)
    assert sum(parameter.numel() for parameter in built.parameters()) == 2 * block + length * dim
