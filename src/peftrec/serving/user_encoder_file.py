"""The user encoder of a run as one file that torch alone loads: its operations and its weights, by `torch.export`.

    state = torch.export.load("user_encoder.pt2").module()(embeddings, mask)

ONNX would take two more packages to write and one to read; who loads the towers has torch already.
"""

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from peftrec.data.interactions import Interactions
from peftrec.data.loading import padded_sequences
from peftrec.errors import CheckpointError
from peftrec.models.towers.hub import one_line

USER_ENCODER = "user_encoder.pt2"
TOLERANCE = 1e-5
"""Largest difference that the file may make to a state, in parts of the largest number in the states."""
NUM_COMPARED = 16
"""Histories that the file is tried on, from the shortest to the longest."""
_UNTRACEABLE = (RuntimeError, ValueError, TypeError)
"""What torch raises of a module whose operations depend on numbers, or that it cannot follow."""


@dataclass(frozen=True, kw_only=True)
class ExportedUserEncoder:
    """A user encoder as it was written."""

    num_parameters: int
    dim: int
    """Width of an item's embedding, and of a user's state."""
    longest: int
    """Steps that it reads, the last ones; earlier ones are passed over."""
    times: str | None
    """Type of the times that it reads beside them, None where it reads none."""
    difference: float
    """Of the states that the file gives when it is read again, as TOLERANCE counts."""


class LastState(nn.Module):
    """A user encoder for histories of any length: cut and padded to what it was trained on, and its last state.

    Encoders count places from the first of `longest` steps, so the same history at another length would be another.
    """

    def __init__(self, encoder: nn.Module, longest: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.longest = longest

    def forward(
        self,
        embeddings: Float[Tensor, "user step dim"],
        mask: Bool[Tensor, "user step"],
        times: Shaped[Tensor, "user step"] | None = None,
    ) -> Float[Tensor, "user dim"]:
        # Padded before it is cut: the length is then fixed, whatever the number of steps, and needs no condition.
        longest = self.longest
        embeddings = nn.functional.pad(embeddings, (0, 0, longest, 0))[:, -longest:]
        mask = nn.functional.pad(mask, (longest, 0))[:, -longest:]
        times = None if times is None else nn.functional.pad(times, (longest, 0))[:, -longest:]
        return self.encoder(embeddings, mask, times)[:, -1]


def write_user_encoder(
    user_encoder: nn.Module,
    file: Path,
    *,
    embeddings: Float[np.ndarray, "item dim"],
    histories: Interactions,
    longest: int,
    reads_times: bool,
) -> ExportedUserEncoder:
    """Write the encoder in float32, read it again, and compare what both say of real histories.

    Raises CheckpointError where torch cannot write it, or the file gives other states.
    """
    exact = copy.deepcopy(user_encoder).to("cpu", torch.float32).eval().requires_grad_(False)
    tried = _TriedHistories.of(histories, torch.from_numpy(embeddings), longest=longest, reads_times=reads_times)
    try:
        program = _program(LastState(exact, longest).eval(), tried.together)
        torch.export.save(program, file)
        again = torch.export.load(file).module()
        difference = tried.difference(exact, again)
    except _UNTRACEABLE as error:
        raise CheckpointError(
            f"the user encoder, {type(user_encoder).__name__}, cannot be written as operations of torch "
            f"({one_line(error)}), so nothing is exported; leave it out with user_encoder=false"
        ) from error
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"the user encoder that was written gives other states than the run's (by {difference:.1e} of the largest "
            f"number; {TOLERANCE:.0e} is allowed), so nothing is exported; leave it out with user_encoder=false"
        )
    return ExportedUserEncoder(
        num_parameters=sum(parameter.numel() for parameter in exact.parameters()),
        dim=embeddings.shape[1],
        longest=longest,
        times=str(tried.together[2].dtype) if reads_times else None,
        difference=difference,
    )


def _program(module: LastState, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """Trace the module for any number of users and of steps."""
    inputs = tuple(each.repeat(2, 2, *[1] * (each.dim() - 2)) for each in inputs)  # torch takes a size of 1 for fixed
    user, step = Dim("user"), Dim("step")
    shapes = tuple({0: user, 1: step} for _ in inputs)
    with warnings.catch_warnings():
        # Of a recurrent layer torch says that it assigns its own weights to a list while it is traced.
        warnings.filterwarnings("ignore", message=".*_flat_weights")
        program = torch.export.export(module, inputs, dynamic_shapes=shapes, strict=False)
    program.example_inputs = None  # they are users' histories, and would be the one pickle in the file
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return program


@dataclass(frozen=True, kw_only=True)
class _TriedHistories:
    """Histories as an evaluation gives them to the encoder, and each alone and whole."""

    together: tuple[Tensor, ...]
    alone: tuple[tuple[Tensor, ...], ...]

    @classmethod
    def of(
        cls, histories: Interactions, embeddings: Float[Tensor, "item dim"], *, longest: int, reads_times: bool
    ) -> "_TriedHistories":
        by_length = np.argsort(histories.lengths, kind="stable")
        rows = by_length[np.linspace(0, len(histories) - 1, min(NUM_COMPARED, len(histories))).astype(np.int64)]

        def read(rows: np.ndarray, length: int) -> tuple[Tensor, ...]:
            read = padded_sequences(histories, rows, length, reads_times=reads_times)
            inputs = (embeddings[read.items], read.mask)
            return inputs if read.times is None else (*inputs, read.times)

        lengths = histories.lengths
        return cls(together=read(rows, longest), alone=tuple(read(row[None], int(lengths[row])) for row in rows))

    @torch.no_grad()
    def difference(self, encoder: nn.Module, again: nn.Module) -> float:
        embeddings, mask, *times = self.together
        expected = encoder(embeddings, mask, times[0] if times else None)[:, -1]
        found = torch.stack([again(*self.together), torch.cat([again(*inputs) for inputs in self.alone])])
        return float((found - expected).abs().max() / expected.abs().max())
