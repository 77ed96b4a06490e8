"""What a user may choose of a sequence model, apart from the modules that do it."""

from typing import Literal

NormKind = Literal["layer", "rms", "scale"]
Placement = Literal["post", "pre"]
Initialisation = Literal["xavier", "small"]
