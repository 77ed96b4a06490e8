"""The latent attributes of synthetic items: what their pictures show, what their titles say, what users like.

Colour and pattern are visible only, material and use are only written, and the kind of product is both. Nothing below
this line of the package reads them except the synthetic catalogue itself and tests: models must find them.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

NUM_VALUES = {"kind": 8, "colour": 8, "pattern": 6, "material": 8, "use": 8}
"""Values per attribute; pictures and titles hold one shape, colour, pattern or word list for each."""

VISIBLE = ("kind", "colour", "pattern")
"""Attributes that a picture shows."""

WRITTEN = ("kind", "material", "use")
"""Attributes that a title says."""


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """One value per item (or per user: what the user likes now) of each attribute."""

    kind: Indices
    colour: Indices
    pattern: Indices
    material: Indices
    use: Indices

    @classmethod
    def draw(cls, generator: np.random.Generator, count: int) -> "Attributes":
        """Draw all attributes independently, so that no modality tells what only the other shows."""
        return cls(**{name: generator.integers(0, size, count) for name, size in NUM_VALUES.items()})

    def __len__(self) -> int:
        return len(self.kind)

    def by_name(self) -> dict[str, Indices]:
        """Return the attributes in their fixed order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
