"""The line that decides: what fits, and what to change where it does not."""

from collections.abc import Sequence

from peftrec.planning.largest_batch import SMALLEST, LargestBatch
from peftrec.planning.plan import Plan
from peftrec.planning.request import size_text
from peftrec.results.tables import bytes_text, count_text

CHECKPOINTING = "trainer.gradient_checkpointing=true"


def answer(plans: Sequence[Plan], unit: str) -> str:
    """Return whether each run fits into the memory that was given, with the largest batch that does; without one, the
    memory that each needs. Amounts beside that memory are in its unit."""
    sizes = {plan.batch_size for plan in plans}
    start = f"at batch {count_text(sizes.pop())}" if len(sizes) == 1 else "at their own batches"
    largest = [plan.largest_batch for plan in plans if plan.largest_batch is not None]
    if not largest:
        needs = ", ".join(f"{plan.run} needs {bytes_text(plan.peak_bytes)}" for plan in plans)
        return f"{start}: {needs}; memory=24GiB says what fits into so much"
    fits = ", ".join(_fits(plan, plan.largest_batch, unit) for plan in plans if plan.largest_batch is not None)
    retried = [_fits(plan, plan.checkpointed_batch, unit) for plan in plans if plan.checkpointed_batch is not None]
    end = f"; with {CHECKPOINTING}: {', '.join(retried)}" if retried else ""
    return f"{start} in {size_text(largest[0].memory_bytes, unit)}: {fits}{end}"


def _fits(plan: Plan, largest: LargestBatch, unit: str) -> str:
    if largest.batch_size is None:
        return f"{plan.run} no (a batch of {SMALLEST} needs {size_text(largest.peak_bytes, unit)})"
    does = largest.is_whole_epoch or largest.batch_size >= plan.batch_size
    most = "whole epoch" if largest.is_whole_epoch else count_text(largest.batch_size)
    return f"{plan.run} {'yes' if does else 'no'} ({most})"
