"""The base of everything that a record holds."""

from pydantic import BaseModel, ConfigDict


class RecordPart(BaseModel):
    """Base of every part: unknown keys are refused, so that a record is what the schema says.

    NaN and infinity are refused as well: JSON has neither, and a record that holds one could not be read back.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)
