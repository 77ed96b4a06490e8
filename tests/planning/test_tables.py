"""What `peftrec plan --json` prints, and what its page and its help say of it."""

import json
import re
from dataclasses import replace
from typing import Any

from described_json import described_keys, keys_of
from peftrec.cli.plan import HELP
from peftrec.planning.batches import BatchShape, BatchSizes
from peftrec.planning.largest_batch import LargestBatch
from peftrec.planning.plan import Plan, PlannedSet
from peftrec.planning.store import PlannedStore
from peftrec.planning.tables import to_json
from peftrec.results.costs import ExactBytes

SHAPE = BatchShape(num_users=4, num_items=9, title_tokens={"TOWER": 7}, num_positions=12)
PLAN = Plan(
    run="lora",
    kernels="cpu",
    precision="32-true",
    batch_size=4,
    batches=BatchSizes(num_steps=3, first=SHAPE, mean=SHAPE, largest=SHAPE, negatives_per_positive=8.0),
    parameters={"ORIGIN": {"trainable": 5, "frozen": 6}},
    exact_bytes=ExactBytes(parameters=1, gradients=2, optimizer_state=3, saved_for_backward=4),
    peak_bytes=11,
    step_operations=20,
    epoch_operations=60,
    seconds_per_epoch=0.5,
    store=PlannedStore(
        states={"TOWER": 2},
        num_bytes=100,
        resident_bytes=50,
        build_operations=30,
        saved_operations=10,
        build_seconds=0.1,
    ),
    largest_batch=LargestBatch(memory_bytes=2**30, batch_size=8, peak_bytes=2**29, is_whole_epoch=False),
    checkpointed_batch=None,
    data="numbers: 4 users",
    caveats=("as if",),
)


def printed(plan: Plan) -> Any:
    return json.loads(to_json(PlannedSet(plans=[plan], tpme={"lora": 0.5}, tpme_problem=None, unit="GiB")))


def of_any_shape(key: str) -> str:
    """Return a key of a batch as the page writes the three shapes."""
    return re.sub(r"^batches\.(first|mean|largest)\.", "batches.SHAPE.", key)


def test_the_page_describes_every_key_that_is_printed_and_no_other() -> None:
    content = printed(PLAN)
    assert set(content) == described_keys("planning.md", "key")
    assert {of_any_shape(key) for key in keys_of(content["plans"][0])} == described_keys("planning.md", "key of a plan")


def test_what_does_not_apply_is_null() -> None:
    (plan,) = printed(replace(PLAN, store=None, largest_batch=None, seconds_per_epoch=None))["plans"]
    assert [plan[key] for key in ("store", "largest_batch", "seconds_per_epoch", "checkpointed_batch")] == [None] * 4


def test_the_help_names_keys_that_are_printed() -> None:
    said = HELP.partition("--json  ")[2].partition("  memory=")[0]
    names = {*re.findall(r"\b[a-z]+_[a-z_]+\b", said), "batches", "store"}
    assert names <= set(printed(PLAN)["plans"][0])
    assert {"peak_bytes", "step_operations", "seconds_per_epoch", "trainable_parameters"} <= names
