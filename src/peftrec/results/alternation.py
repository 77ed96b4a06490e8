"""Ratios of what was timed in turns: inside each round, then the median over rounds.

    level_i = median over rounds r of ( log t_ri - mean over j of log t_rj )

What slows a whole round down is in all of its times and leaves the ratios alone; a turn that was disturbed by itself is
an outlier, and the median leaves it out. On two cores with other programs beside it, the ratio of two identical kernels
scattered by 1.5 % so, and by 6.7 % as a ratio of medians over all rounds.

Blocks of processes that did not stand beside each other share a run, the reference; their levels are those above its.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peftrec.results.bootstrap import RESAMPLES, drawn_places, expanded_interval

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """Runs that took turns with each other."""

    members: tuple[str, ...]
    seconds: Values
    """[round, member], of a step."""

    def __post_init__(self) -> None:
        assert self.seconds.shape[1] == len(self.members)


@dataclass(frozen=True)
class Ratios:
    """Each member's seconds to the geometric mean of all."""

    members: tuple[str, ...]
    levels: Values
    """[member], logarithms; their mean is 0."""
    draws: Values
    """[draw, member], of `levels`, with rounds drawn again: all members' in one draw come from the same rounds."""
    num_rounds: int
    """Of the block that had fewest."""
    seconds: float
    """What the geometric mean of all members took, in the median over rounds."""

    def interval(self, member: str) -> tuple[float, float]:
        """Return the 95 % interval of a member's ratio."""
        column = self.draws[:, self.members.index(member)]
        low, high = expanded_interval(column, self.num_rounds)
        return float(np.exp(low)), float(np.exp(high))

    def ratio(self, member: str) -> float:
        return float(np.exp(self.levels[self.members.index(member)]))

    def widest(self) -> float:
        """Return the width of the widest interval of the members' ratios: 0.1 where its ends are 10 % apart."""
        ends = [self.interval(member) for member in self.members]
        return max(high / low for low, high in ends) - 1


def ratios(blocks: Sequence[Block], reference: str | None, *, seed: int = 0) -> Ratios:
    """Return the ratios of blocks that share the reference, with the draws that give their intervals."""
    generator = np.random.default_rng(seed)
    of_block = [_inside_rounds(block) for block in blocks]
    medians = [np.median(logs, axis=0)[None] for logs in of_block]
    resampled = [np.median(logs[drawn_places(len(logs), generator)], axis=1) for logs in of_block]
    members = tuple(dict.fromkeys(member for block in blocks for member in block.members))
    levels = _linked(blocks, medians, reference, members)[0]
    return Ratios(
        members=members,
        levels=levels,
        draws=_linked(blocks, resampled, reference, members),
        num_rounds=min(len(block.seconds) for block in blocks),
        seconds=_level_of_all(blocks, dict(zip(members, levels.tolist(), strict=True))),
    )


def both_clocks(wall: Ratios, processor: Ratios) -> Ratios:
    """Return the wall clock's ratios with draws of either clock: of steps that were timed beside other programs, wall
    time holds what these took, and processor time what threads spent on waiting for each other; what holds by both is
    all that such rounds support."""
    assert wall.members == processor.members
    half = RESAMPLES // 2
    return Ratios(
        members=wall.members,
        levels=wall.levels,
        draws=np.concatenate([wall.draws[:half], processor.draws[:half]]),
        num_rounds=wall.num_rounds,
        seconds=wall.seconds,
    )


def widened(found: Ratios, slowdowns: Mapping[str, float]) -> Ratios:
    """Return ratios whose members may each have been slowed down by other work, by a factor of up to `slowdowns`.

    By how much nobody can tell: beside two busy loops on two cores the steps of one strategy took 2.0 times as long as
    alone and those of another 2.9 times, because threads that wait for each other lose more. So each draw takes each
    member, by chance, as it was timed or as it may have been alone.
    """
    generator = np.random.default_rng(2)
    most = np.log([slowdowns[member] for member in found.members])
    was_slowed = generator.integers(0, 2, size=found.draws.shape)
    alone = found.draws - was_slowed * most
    return replace(found, draws=alone - alone.mean(axis=1, keepdims=True))


def _inside_rounds(block: Block) -> Values:
    logs = np.log(block.seconds)
    centred: Values = logs - logs.mean(axis=1, keepdims=True)
    return centred


def _linked(
    blocks: Sequence[Block], levels: Sequence[Values], reference: str | None, members: tuple[str, ...]
) -> Values:
    """Put the blocks' levels, each [draw, its member], on one scale: [draw, member], with mean 0."""
    found: dict[str, Values] = {}
    for block, values in zip(blocks, levels, strict=True):
        above = 0.0 if reference is None else values[:, [block.members.index(reference)]]
        for place, member in enumerate(block.members):
            found[member] = (values - above)[:, place]
    together = np.stack([found[member] for member in members], axis=1)
    centred: Values = together - together.mean(axis=1, keepdims=True)
    return centred


def _level_of_all(blocks: Sequence[Block], levels: Mapping[str, float]) -> float:
    rounds = [
        np.log(block.seconds).mean(axis=1) - np.mean([levels[member] for member in block.members]) for block in blocks
    ]
    return float(np.exp(np.median(np.concatenate(rounds))))
