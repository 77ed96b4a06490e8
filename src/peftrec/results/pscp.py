"""PSCP, quality under soft penalties for costs (PEFT-Bench; Belanec, Pecher, Srba & Bielikova, arXiv:2511.21285):

    PSCP = P (1 + p / C_p)^-b_p (1 + f / C_f)^-b_f (1 + m / C_m)^-b_m        higher is better

p is the number of trainable parameters, f the operations that an inference takes beyond the base model's, m the peak
memory of training. Unlike TPME it needs no set: one more strategy changes no value. Constants and exponents are the
defaults of the authors' code (kinit-sk/PEFT-Factory, `PSCPArguments` and `scripts/peftbench/cal_psqp.py`): f is in
TFLOPs there, of 512 tokens through Llama 3 with 8 billion parameters, which itself takes 8.38, and C_m is the memory of
an H100 NVL. They are made for language models of billions of parameters: towers of a hundred million lie so far below
them that every penalty is near 1, and PSCP hardly differs from P.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from peftrec.errors import UserError
from peftrec.results.record_part import RecordPart
from peftrec.results.tpme import Cost

KEYS = ("pscp.parameters", "pscp.operations", "pscp.memory")
FILE_KEY = "pscp"
QUALITY = "hr@10"
"""P: a fraction of users."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Exponent = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PscpConstants(RecordPart, frozen=True):
    """The costs that halve a value, and the exponents."""

    parameters: Positive = 5e8
    operations: Positive = 10e12
    """Floating-point operations an item."""
    memory: Positive = 94e9
    """Bytes."""
    parameters_exponent: Exponent = 1.0
    operations_exponent: Exponent = 1.0
    memory_exponent: Exponent = 1.0


PAPER_CONSTANTS = PscpConstants()


@dataclass(frozen=True, kw_only=True)
class Penalised:
    """What enters PSCP; null where it was not measured."""

    quality: float | None
    cost: Cost | None
    extra_operations: float | None


def pscp(of: Penalised, constants: PscpConstants = PAPER_CONSTANTS) -> float | None:
    """Return PSCP, in the unit of the quality; None where a cost is unknown."""
    if of.quality is None or of.cost is None or of.extra_operations is None:
        return None
    parameters, memory = of.cost.trainable_parameters, of.cost.peak_memory_bytes
    if parameters is None or memory is None:
        return None
    return (
        of.quality
        * (1 + parameters / constants.parameters) ** -constants.parameters_exponent
        * (1 + of.extra_operations / constants.operations) ** -constants.operations_exponent
        * (1 + memory / constants.memory) ** -constants.memory_exponent
    )


def read_constants(file: str | None, given: Mapping[str, str]) -> PscpConstants:
    """Read constants from a YAML file, if one is named, and from `pscp.NAME=VALUE`, which come before the file's.

    Raises UserError that names the key that is wrong.
    """
    values = {} if file is None else _read(Path(file))
    values |= {key.removeprefix(f"{FILE_KEY}."): _number(given[key]) for key in KEYS if key in given}
    try:
        return PscpConstants.model_validate_json(json.dumps(values))
    except (ValidationError, TypeError) as error:
        raise UserError(_explain(error, file, given)) from error


def _number(text: str) -> float | str:
    try:
        return float(text)  # YAML 1.1 takes 5e8 for a word
    except ValueError:
        return text


def _read(file: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{FILE_KEY}={file}: cannot be read as YAML ({error}); {_remedy()}") from error
    if not isinstance(content, dict):
        raise UserError(f"{FILE_KEY}={file}: expected keys and values; {_remedy()}")
    return {str(key): _number(value) if isinstance(value, str) else value for key, value in content.items()}


def _explain(error: ValidationError | TypeError, file: str | None, given: Mapping[str, str]) -> str:
    if not isinstance(error, ValidationError):
        return f"{FILE_KEY}={file}: {error}; {_remedy()}"
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    key = f"{FILE_KEY}.{name}"
    place = f"{key}={given[key]}" if key in given else f"{FILE_KEY}={file}: {name}"
    return f"{place}: {first['msg']}; {_remedy()}"


def _remedy() -> str:
    return f"constants are {', '.join(f'{name}: {value:g}' for name, value in PAPER_CONSTANTS.model_dump().items())}"


PSCP_LINE = "PSCP is "
"""How the sentence about it begins."""


def pscp_line(constants: PscpConstants) -> str:
    """Return the sentence that stands under a PSCP."""
    made = (
        "the authors' constants, made for language models of billions of parameters: for smaller towers every penalty "
        "is near 1; own ones by pscp.parameters=, pscp.operations= and pscp.memory="
        if constants == PAPER_CONSTANTS
        else "which are not the authors' constants"
    )
    exponents = (constants.parameters_exponent, constants.operations_exponent, constants.memory_exponent)
    return (
        f"{PSCP_LINE}{QUALITY} times a penalty (1 + cost / C)^-b each for trainable parameters, operations to encode "
        "an item beyond the bare towers' (merged where that can be) and peak memory; higher is better. C is "
        f"{constants.parameters:g} parameters, {constants.operations:g} operations and {constants.memory:g} bytes, b "
        f"{', '.join(f'{value:g}' for value in exponents)}: {made}."
    )
