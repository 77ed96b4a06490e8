"""A fixed set that TPME is normalised over, so that one more strategy changes no value: costs in a file.

TPME is relative to its set. With a reference, 0 is the least and 1 the most of the reference's strategies in each
quantity; what costs less or more than all of them lies below 0 or above 1.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from peftrec.errors import UserError
from peftrec.files import write_atomically
from peftrec.results.conditions import ConditionsChoice
from peftrec.results.pscp import PAPER_CONSTANTS, PscpConstants
from peftrec.results.record_part import RecordPart
from peftrec.results.tpme import Cost


class ReferenceCost(RecordPart):
    """One strategy's."""

    seconds_per_epoch: float
    trainable_parameters: int
    peak_memory_bytes: int
    conditions: dict[str, str]
    """As in a record, each value as JSON."""


class Reference(RecordPart):
    """The set, and what must be equal for others to be compared with it."""

    device: str
    comparison_hash: str
    costs: dict[str, ReferenceCost]

    def as_costs(self) -> dict[str, Cost]:
        """Return the costs as those of runs."""
        return {
            name: Cost(
                seconds_per_epoch=cost.seconds_per_epoch,
                trainable_parameters=cost.trainable_parameters,
                peak_memory_bytes=cost.peak_memory_bytes,
                device=self.device,
                comparison_hash=self.comparison_hash,
                conditions=cost.conditions,
                runs=("the reference",),
            )
            for name, cost in self.costs.items()
        }


@dataclass(frozen=True, kw_only=True)
class CostChoices:
    """How a report compares costs."""

    conditions: ConditionsChoice = "same"
    """`mixed` compares costs of different conditions all the same, and says so first."""
    reference: Reference | None = None
    reference_file: Path | None = None
    pscp: PscpConstants = PAPER_CONSTANTS


def read_reference(file: Path) -> Reference:
    """Read a reference, YAML or JSON. Raises UserError that names the file and the key that is wrong."""
    try:
        return Reference.model_validate_json(json.dumps(yaml.safe_load(file.read_text(encoding="utf-8"))))
    except FileNotFoundError as error:
        raise UserError(
            f"tpme.reference={file}: no such file; `peftrec report RUNS_DIR tpme.write_reference={file}` writes one"
        ) from error
    except (yaml.YAMLError, TypeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"tpme.reference={file}: cannot be read as YAML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(
            f"tpme.reference={file}: {key}: {first['msg']}; compare it with what "
            "`peftrec report RUNS_DIR tpme.write_reference=FILE` writes"
        ) from error


def write_reference(costs: Mapping[str, Cost], file: Path) -> None:
    """Write a report's costs as a reference. Raises UserError where one of them is missing."""
    whole: dict[str, ReferenceCost] = {}
    for name, cost in costs.items():
        known = (cost.seconds_per_epoch, cost.trainable_parameters, cost.peak_memory_bytes)
        seconds, parameters, memory = known
        if seconds is None or parameters is None or memory is None:
            raise UserError(f"tpme.write_reference={file}: {name} lacks a cost; leave it out of the folder")
        whole[name] = ReferenceCost(
            seconds_per_epoch=seconds,
            trainable_parameters=parameters,
            peak_memory_bytes=memory,
            conditions=dict(cost.conditions),
        )
    if not whole:
        raise UserError(f"tpme.write_reference={file}: no strategy has costs here")
    first = next(iter(costs.values()))
    content = Reference(device=first.device, comparison_hash=first.comparison_hash, costs=whole)
    write_atomically(file, yaml.safe_dump(content.model_dump(), sort_keys=False).encode())
