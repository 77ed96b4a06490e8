"""What keys of the configuration let a user choose, apart from the code that does it."""

from dataclasses import dataclass
from typing import Literal

Policy = Literal["error", "drop", "blank"]
"""For an item without usable content: refuse it, take it out of all histories, or give it an empty one."""

UnknownItems = Literal["error", "drop"]
RepeatedInteractions = Literal["error", "drop", "keep", "earliest"]
"""For rows of the same user, item and time: refuse them, take such rows once, or each. `earliest` takes the first row
of each user and item, whatever its time."""
TITLE = "title"
"""The text that every item has, beside which data may have others by names."""
MissingFeatures = Literal["error", "zero", "mean", "drop"]
Resampling = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
"""Filters by which Pillow resizes a picture."""

Orientation = Literal["exif", "file"]
"""Images upright by their cameras' notes, or as they lie in the file."""

MAX_IMAGE_PIXELS = 2**26
"""67 million, 200 MB decoded: more than most cameras take."""

LEAST_MINIMUM = 4
"""What `minimum_history` may be at least: a training transition takes two items, validation and test one each."""


@dataclass(frozen=True, kw_only=True)
class Competitors:
    """The items that a training position is scored against: those of its batch, and what is put beside them."""

    kind: Literal["batch", "sampled", "catalogue"] = "batch"
    """`sampled` adds items that are drawn for every batch anew, `catalogue` all there are."""
    number: int = 0
    """How many items are drawn for a batch."""
    by_popularity: bool = False
    """Whether they are drawn by their share of the training interactions, and not evenly."""
    with_batch: bool = True
    """Whether items of other users of the batch compete where others are drawn."""
