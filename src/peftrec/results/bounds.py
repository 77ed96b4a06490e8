"""What the figures of a record can be: nothing outside was ever measured, and no table shows it."""

from typing import Annotated

from pydantic import Field

LARGEST = 2**63
"""No count reaches it, and no table holds one that does."""
LONGEST_SECONDS = 1e11
"""Three thousand years."""

Count = Annotated[int, Field(ge=0, lt=LARGEST)]
Bytes = Annotated[int, Field(ge=0, lt=LARGEST)]
Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Loss = Annotated[float, Field(ge=-3.5e38, le=3.5e38)]
"""As far as a 32-bit float reaches."""
Amount = Annotated[float, Field(ge=0, le=1e30)]
"""Of energy, or of what a second holds of something."""
