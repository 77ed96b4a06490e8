"""What a record holds of costs: each epoch as it went, training summed up, and what keeping and serving take.

Times are seconds, sizes bytes, energy joules. A witness that the platform does not give is null, never an estimate.
"""

from typing import Literal

from peftrec.results.bounds import Amount, Bytes, Count, Fraction, Loss, Seconds
from peftrec.results.record_part import RecordPart

EnergySource = Literal["nvml", "rapl"]
MemorySource = Literal["cuda_allocator", "cpu_allocator"]
Metrics = dict[str, Fraction]
"""Metric name (`hr@10`, `ndcg@10`, `mrr@10`) to its mean over users."""
CountedMetrics = dict[str, Amount]
"""Metrics, and under `num_users` how many users they are of."""


class MachineUse(RecordPart):
    """What the machine did during a stretch of time: of several processes, all of one host together."""

    processor_seconds: Seconds
    """Of this process and its loader workers, in user and kernel mode."""
    other_processor_seconds: Seconds | None = None
    """Of every other program of the machine."""
    steal_seconds: Seconds | None = None
    """That the machine's host gave to others, over all processors."""
    stalled_seconds: Seconds | None = None
    """That some task of the machine waited for a processor (/proc/pressure/cpu)."""
    involuntary_switches: Count | None = None
    """How often a processor was taken away from this process."""
    load_average: Amount | None = None
    """Tasks that ran or wanted to, over the last minute, at the end."""
    throttled_seconds: Seconds | None = None
    """That a GPU was slowed down for its power or its heat."""
    joules: Amount | None = None
    """Of the devices that train, whole, whoever used them beside this run."""
    energy_source: EnergySource | None = None
    """Which counter says so: NVIDIA's, or the processor packages' (RAPL)."""


class Epoch(RecordPart):
    """One training epoch and the validation after it."""

    epoch: Count
    """Counted from zero."""
    training_loss: Loss
    validation: Metrics
    training_seconds: Seconds
    """Synchronised; without validation."""
    data_wait_seconds: Seconds
    """Part of training_seconds that the loop waited for batches."""
    num_steps: Count
    machine: MachineUse | None = None
    """During training_seconds; null in records of before it was looked at."""


class ExactBytes(RecordPart):
    """Deterministic memory of one training step, counted tensor by tensor (unique storages)."""

    parameters: Bytes
    gradients: Bytes
    optimizer_state: Bytes
    saved_for_backward: Bytes

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.optimizer_state + self.saved_for_backward


class Efficiency(RecordPart):
    """What training cost; one callback fills it for every strategy alike."""

    seconds_per_epoch: Seconds | None
    """Median over the epochs after the first; null with fewer than two epochs. Of a run resumed under other conditions
    (devices, workers, compilation), over those since then."""
    steps_per_second: Amount | None
    data_wait_seconds_per_epoch: Seconds | None
    seconds_to_best_epoch: Seconds | None
    """Null for a run resumed under other conditions."""
    peak_memory_bytes: Bytes | None
    """The most that the training device's allocator held during training steps: weights, gradients, optimizer state,
    tensors saved and passing, and the store where it lies there. TPME compares it."""
    memory_source: MemorySource | None = None
    """Whose log says so; null where none does, or in a record that knew no such figure."""
    exact_bytes: ExactBytes | None
    cuda_max_allocated_bytes: Bytes | None
    cuda_max_reserved_bytes: Bytes | None
    resident_peak_bytes: Bytes | None
    """CPU only: peak resident memory of training, less what stood before the model was built."""
    step_operations: Count | None
    """Floating-point operations of one training step, forward and backward."""
    store_build_seconds: Seconds | None
    """Building the hidden-state store, once; null where none is read."""
    store_bytes: Bytes | None
    store_placement: str | None = None
    """Where the run kept the store's states: `device`, `host` or `disk`."""
    amortised_seconds_per_epoch: Seconds | None
    """`seconds_per_epoch` plus the store's building time over the epochs trained."""
    joules_per_epoch: Amount | None = None
    """Median over the same epochs as `seconds_per_epoch`."""
    energy_source: EnergySource | None = None
    is_isolated: bool
    """Whether the run had a process of its own."""


class ServingTimes(RecordPart):
    """Medians of repeated measurements, one process, in evaluation mode."""

    item_seconds: Seconds
    """To encode one item as the run reads it: from its title and image through the towers, or from the store."""
    new_item_seconds: Seconds | None
    """To decode and encode one item that nobody has met, its title tokenised already, through the towers; null where
    items are no more than ids or come with ready features, and where the towers that a store stands in for found no
    memory beside the run."""
    catalogue_seconds: Seconds
    """To encode `num_items` items; from a sample of blocks where the whole takes longer than the measurement may."""
    encoded_items: Count
    """Items that were encoded to tell `catalogue_seconds`."""
    extra_operations: Count | None = None
    """Floating-point operations to encode an item beyond those of the bare pretrained towers, for titles of the median
    length; null in records of before it was counted."""
    stored_operations: Count | None = None
    """Floating-point operations that compute an item's stored states, once; 0 without a store, null in records of
    before it was counted and where the towers found no memory beside the run. A step may repeat some of them, as VQT
    does keys and values, so that they are not what it saves: that is the plan's `saved a step`."""


class Serving(RecordPart):
    """What using a trained run costs, measured at its end under the conditions of its last stretch."""

    kept_bytes: Bytes
    """Of the tensors that were trained: what must be kept for a task beside the towers that all tasks share."""
    num_items: Count
    """Size of the catalogue."""
    as_trained: ServingTimes
    merged: ServingTimes | None = None
    """With what was trained merged into the towers' weights; null where there is nothing that can be."""
    answer_seconds_p50: Seconds
    """To answer one user: history encoded, catalogue scored, the best ten found; items are encoded already."""
    answer_seconds_p99: Seconds
    num_answers: Count

    @property
    def at_best(self) -> ServingTimes:
        """As it would be served: merged where that can be."""
        return self.as_trained if self.merged is None else self.merged
