"""What a run will cost, and what a set of runs will cost beside each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from peftrec.errors import RecordError
from peftrec.hidden_states.placement import AUTO_SHARE, PlacementChoice
from peftrec.planning.batches import BatchShape, BatchSizes, Workload
from peftrec.planning.fake_tensors import require_configs
from peftrec.planning.largest_batch import LargestBatch, find_largest_batch
from peftrec.planning.live_twin import live_twin
from peftrec.planning.request import PlanRequest
from peftrec.planning.step import StepPlanner
from peftrec.planning.store import PlannedStore, plan_store, store_bytes
from peftrec.planning.target import find_target
from peftrec.planning.workloads import find_workload
from peftrec.results.costs import ExactBytes
from peftrec.results.tpme import Cost, tpme
from peftrec.settings.run import Settings
from peftrec.training.parameter_groups import count_parameters

_PLACES = {
    (True, True): "on the device",
    (True, False): "in memory",
    (False, True): "in the host's memory or on its disk",
    (False, False): "on the disk",
}
"""Whether the planned memory holds the store, and whether it is CUDA's."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run's cost."""

    run: str
    """The strategy, and what else sets the run apart."""
    kernels: str
    """`cpu` or `cuda`: whose attention and casts are planned."""
    precision: str
    batch_size: int
    batches: BatchSizes
    parameters: dict[str, dict[str, int]]
    """Origin to trainable and frozen counts, as in a record."""
    exact_bytes: ExactBytes
    """Of the first batch, as a record holds them."""
    peak_bytes: int
    """Of the largest batch: most that is alive at a moment, with a store that lies there."""
    step_operations: int
    """Of the first batch, as a record holds them."""
    epoch_operations: int
    """Steps an epoch times the operations of a mean batch."""
    seconds_per_epoch: float | None
    """Operations at the rate that was given, without loading; null without a rate."""
    store: PlannedStore | None
    largest_batch: LargestBatch | None
    checkpointed_batch: LargestBatch | None
    """The same with gradient checkpointing, where the run does not fit without and that would change something."""
    data: str
    """Where the sizes of batches come from."""
    caveats: tuple[str, ...]
    """What the figures take for granted."""

    @property
    def trainable_parameters(self) -> int:
        return sum(counts["trainable"] for counts in self.parameters.values())

    @property
    def memory_bytes(self) -> int:
        """What a record's `peak_memory_bytes`, and so TPME, would hold."""
        return self.peak_bytes


@dataclass(frozen=True, kw_only=True)
class PlannedSet:
    """Plans beside each other."""

    plans: Sequence[Plan]
    tpme: Mapping[str, float]
    """By run, with operations an epoch for time."""
    tpme_problem: str | None
    """Why there is no TPME."""
    unit: str
    """In which the memory that was asked about is said."""


def plan_set(runs: Mapping[str, Settings], request: PlanRequest) -> PlannedSet:
    """Plan all runs; data that several of them share is read once.

    Raises SettingsError or DataError where something is missing, before the first is planned.
    """
    for settings in runs.values():
        find_target(settings)
        require_configs(settings)
    workloads: dict[str, Workload] = {}
    plans = []
    for run, settings in runs.items():
        key = repr((settings.data, settings.towers, settings.strategy.reads_content))
        if key not in workloads:
            workloads[key] = find_workload(settings, request)
        plans.append(plan_run(run, settings, workloads[key], request))
    values, problem = _tpme(plans)
    return PlannedSet(plans=plans, tpme=values, tpme_problem=problem, unit=request.unit)


def plan_run(run: str, settings: Settings, workload: Workload, request: PlanRequest) -> Plan:
    """Plan one run. Raises SettingsError where it could not be built either."""
    batches = workload.batches(settings)
    planner = _planner(settings, workload, request.memory)
    settings = planner.settings
    first = planner.plan(batches.first)
    mean = planner.plan(batches.mean)
    epoch_operations = batches.num_steps * mean.operations
    peak_bytes = planner.plan(batches.largest).peak_bytes
    stored = planner.run.stored
    return Plan(
        run=run,
        kernels=planner.target.kernels,
        precision=planner.target.precision,
        batch_size=settings.batch_size,
        batches=batches,
        parameters=count_parameters(planner.run.module.parameter_roles),
        exact_bytes=first.exact_bytes,
        peak_bytes=peak_bytes,
        step_operations=first.operations,
        epoch_operations=epoch_operations,
        seconds_per_epoch=None if request.rate is None else epoch_operations / request.rate,
        store=(
            None
            if stored is None
            else plan_store(
                settings,
                stored,
                workload,
                rate=request.rate,
                saved_operations=_saved_operations(settings, workload, batches.mean, mean.operations),
            )
        ),
        largest_batch=None if request.memory is None else _largest(planner, settings, workload, request.memory),
        checkpointed_batch=_checkpointed(settings, workload, peak_bytes, request.memory),
        data=workload.origin,
        caveats=(*workload.caveats, *_caveats(planner, settings)),
    )


def _saved_operations(settings: Settings, workload: Workload, shape: BatchShape, own: int) -> int | None:
    """Count what a step's live twin computes beyond the step's own operations. A strategy may repeat a part of what the
    store holds the result of, as VQT does keys and values, so that building the store says too much of it."""
    twin = live_twin(settings)
    if twin is None:
        return None
    planner = StepPlanner(twin, num_items=workload.num_items, sequence_length=workload.sequence_length)
    return planner.plan(shape).operations - own


def _planner(settings: Settings, workload: Workload, memory: int | None) -> StepPlanner:
    """Return what plans the steps, with a store where `placement: auto` would put it in so much memory."""

    def planner_of(settings: Settings) -> StepPlanner:
        return StepPlanner(
            settings,
            num_items=workload.num_items,
            mean_tokens=workload.mean_tokens,
            sequence_length=workload.sequence_length,
        )

    planner = planner_of(settings)
    stored = planner.run.stored
    if stored is None or memory is None or settings.hidden_states.placement != "auto":
        return planner
    if store_bytes(settings, stored, workload) <= AUTO_SHARE * memory:
        return planner
    elsewhere: PlacementChoice = "host" if planner.target.on_cuda else "disk"
    return planner_of(replace(settings, hidden_states=replace(settings.hidden_states, placement=elsewhere)))


def _caveats(planner: StepPlanner, settings: Settings) -> Iterator[str]:
    if planner.target.on_cuda:
        yield "CUDA's attention kernels and casts are planned by rule, without a device"
    if planner.run.stored is not None:
        yield (
            f"stored states are planned {_PLACES[planner.target.holds_store, planner.target.on_cuda]}; "
            "hidden_states.placement plans them elsewhere, and memory=SIZE where they would go in that"
        )
    if settings.trainer.compile:
        yield "trainer.compile: steps are planned as they are without it"


def _largest(planner: StepPlanner, settings: Settings, workload: Workload, memory: int) -> LargestBatch:
    def peak_of(batch_size: int) -> int:
        return planner.plan(workload.batches(replace(settings, batch_size=batch_size)).largest).peak_bytes

    return find_largest_batch(peak_of, memory=memory, num_windows=workload.num_windows)


def _checkpointed(settings: Settings, workload: Workload, peak_bytes: int, memory: int | None) -> LargestBatch | None:
    trains_towers = settings.strategy.reads_content and not settings.strategy.keeps_towers_frozen
    if memory is None or peak_bytes <= memory or not trains_towers or settings.trainer.gradient_checkpointing:
        return None
    settings = replace(settings, trainer=replace(settings.trainer, gradient_checkpointing=True))
    return _largest(_planner(settings, workload, memory), settings, workload, memory)


def _tpme(plans: Sequence[Plan]) -> tuple[Mapping[str, float], str | None]:
    costs = {
        plan.run: Cost(
            # Min-max normalisation cancels the rate: operations rank as seconds at any one rate would.
            seconds_per_epoch=float(plan.epoch_operations),
            trainable_parameters=plan.trainable_parameters,
            peak_memory_bytes=plan.memory_bytes,
            device=f"{plan.kernels} ({plan.precision})",
            comparison_hash=plan.data,
        )
        for plan in plans
    }
    try:
        return tpme(costs), None
    except RecordError as error:
        return {}, str(error)
