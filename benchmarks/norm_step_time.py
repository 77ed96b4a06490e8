"""Time of ScaleNorm and RMSNorm against LayerNorm: the norm alone, and a training step of the user encoder around it.

    python benchmarks/norm_step_time.py [--device cpu] [--rounds 31]

Shapes: the states of 64 users with ten items each in 64 dimensions, as runs here have them; and the 512 dimensions of
Nguyen & Salazar (IWSLT 2019, arXiv:1910.05895), who report training about 5 % faster: 4096 places for the norm, 256 for
the step. A step is forward, backward and Adam over pre-norm SASRec of six blocks, on random items with a random linear
loss; no item is encoded and nothing is loaded.
Kinds take turns on the same inputs and the one that starts changes, so that what the machine does besides hits all.
"""

import argparse
import statistics
from collections.abc import Callable, Mapping
from typing import get_args

import torch
from published.alternating import seconds_of
from torch import Tensor

from peftrec.models.user_encoders.choices import NormKind
from peftrec.models.user_encoders.norms import build_norm
from peftrec.user_encoders.sasrec import SASRec

KINDS: tuple[NormKind, ...] = get_args(NormKind)
NUM_WARM = 5

Work = Callable[[], object]
Shape = tuple[int, int, int]
"""Users, items of each, dimensions."""


def norm_alone(kind: NormKind, inputs: Tensor) -> Work:
    """Return one forward and backward pass of a norm."""
    norm = build_norm(kind, inputs.shape[-1]).to(inputs.device)
    gradient = torch.randn_like(inputs)

    def work() -> None:
        norm(inputs).backward(gradient)
        norm.zero_grad(set_to_none=True)
        inputs.grad = None

    return work


def training_step(kind: NormKind, inputs: Tensor) -> Work:
    """Return one step of a user encoder."""
    num_users, num_steps, dim = inputs.shape
    heads = max(2, dim // 64)
    encoder = SASRec(norm=kind, placement="pre", num_blocks=6, num_heads=heads).build(
        dim=dim, sequence_length=num_steps
    )
    encoder.to(inputs.device)
    optimizer = torch.optim.Adam(encoder.parameters(), fused=True)
    mask = torch.ones(num_users, num_steps, dtype=torch.bool, device=inputs.device)
    weights = torch.randn_like(inputs)

    def work() -> None:
        (encoder(inputs, mask) * weights).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        inputs.grad = None

    return work


MEASURED: tuple[tuple[str, Callable[[NormKind, Tensor], Work], Shape], ...] = (
    ("norm alone", norm_alone, (64, 10, 64)),
    ("norm alone", norm_alone, (128, 32, 512)),
    ("training step", training_step, (64, 10, 64)),
    ("training step", training_step, (8, 32, 512)),
)


def alternate(works: Mapping[NormKind, Work], device: torch.device, num_rounds: int) -> dict[NormKind, list[float]]:
    """Time all kinds in turns."""
    seconds: dict[NormKind, list[float]] = {kind: [] for kind in works}
    kinds = list(works)
    for number in range(NUM_WARM + num_rounds):
        for place in range(len(kinds)):
            kind = kinds[(number + place) % len(kinds)]
            taken = seconds_of(works[kind], device)
            if number >= NUM_WARM:
                seconds[kind].append(taken)
    return seconds


def report(title: str, seconds: Mapping[NormKind, list[float]]) -> None:
    """Print medians, and the median over rounds of each kind's time over LayerNorm's."""
    for kind, taken in seconds.items():
        ratios = [one / layer for one, layer in zip(taken, seconds["layer"], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        print(
            f"{title:<28} {kind:<6} {statistics.median(taken) * 1e3:9.3f} ms   "
            f"{statistics.median(ratios):.3f} of layer (quartiles {low:.3f} to {high:.3f})"
        )


def main() -> None:
    """Measure the norm alone and the step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--rounds", type=int, default=31, help="rounds in which every kind is timed once")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print(f"{arguments.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, build, shape in MEASURED:
        inputs = torch.randn(shape, device=arguments.device, requires_grad=True)
        works = {kind: build(kind, inputs) for kind in KINDS}
        title = f"{name}, {' x '.join(map(str, shape))}"
        report(title, alternate(works, arguments.device, arguments.rounds))


if __name__ == "__main__":
    main()
