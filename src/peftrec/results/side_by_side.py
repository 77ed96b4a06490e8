"""What a run's training step costs beside those of the other runs of a folder, measured in turns (peftrec.measuring).

Times of one machine differ from hour to hour by more than strategies do; what hardly differs is the ratio of two steps
that are timed one straight after the other. So the rounds are kept as they were, and whoever compares runs takes the
ratios inside each round.
"""

from pydantic import JsonValue

from peftrec.results.bounds import Amount, Bytes, Count, Seconds
from peftrec.results.costs import MachineUse, MemorySource
from peftrec.results.record_part import RecordPart


class Round(RecordPart):
    """One turn of a run: the same few steps as in every other round, while the other runs' processes sleep."""

    block: Count
    """Which set of processes that stood beside each other; 0 where all did at once."""
    number: Count
    """Of the round, in its block. Turns of one block and round were taken one straight after the other."""
    place: Count
    """In the order of the round, which is drawn anew for each."""
    seconds_per_step: Seconds
    """The median over passes."""
    num_steps: Count
    """Of the turn, over all passes."""
    seconds: Seconds
    """Of the turn; what its machine did is of so long."""
    machine: MachineUse | None = None


class SideBySide(RecordPart):
    """One run's part of a measurement."""

    measurement: str
    """The same for all runs that were measured together, and no others."""
    measured_at: str
    """ISO 8601 in UTC."""
    members: list[str]
    """Ids of the runs that were measured together."""
    reference: str | None
    """The run that stood in every block, and links them; null where there was one block."""
    order_seed: int
    num_steps: Count
    """Of a pass: the first batches of the first epoch, the same in every pass."""
    num_passes: Count
    """Of a turn; a quick step is repeated until a turn lasts long enough to be timed."""
    rounds: list[Round]
    seconds_per_step: Seconds
    """`ratio` times what the geometric mean of all members' steps took, in the median over all rounds."""
    ratio: Amount
    """To the geometric mean of all members: the median over rounds of the ratio inside a round."""
    ratio_low: Amount
    ratio_high: Amount
    """The 95 % interval of `ratio`, over rounds."""
    peak_memory_bytes: Bytes | None
    """The most that the device's allocator held in these steps, as in `Efficiency`."""
    memory_source: MemorySource | None = None
    device: str
    conditions: dict[str, JsonValue]
    """As those of a stretch of training."""
    versions: dict[str, str]
    code_hash: str
    """Of the code that was measured, as in a record."""
