"""A catalogue made in a second: product pictures and titles from latent attributes, and users who like both.

It stands where a real data set would: so that every strategy can be tried, tested and compared without a download.
Colour and pattern are in the pictures only, material and use in the texts only (see `synthetic_attributes`), users
weigh both (see `synthetic_histories`), and everything follows from `catalogue_seed`, byte for byte.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.source import NO_TEXTS, DataSource

if TYPE_CHECKING:
    from peftrec.data.catalogue import Catalogue
    from peftrec.data.synthetic.attributes import Attributes
    from peftrec.data.synthetic.histories import Habits

# One stream of random numbers per part: leaving out a modality changes nothing of the others.
ATTRIBUTE_STREAM, TITLE_STREAM, PICTURE_STREAM, HISTORY_STREAM, DESCRIPTION_STREAM = range(5)
DESCRIPTION = "description"
"""A further text: of the same product, in other words."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SyntheticCatalogue(DataSource):
    """Rendered products and simulated users."""

    num_users: int = Field(default=1500, ge=2)
    """Users, each with one history."""
    num_items: int = Field(default=1200, ge=100)
    """Items, each with a title and a picture."""
    image_size: int = Field(default=32, ge=16, le=512)
    """Side of the pictures in pixels."""
    catalogue_seed: int = Field(default=0, ge=0, lt=2**32)
    """Decides items and users; the run's `seed` decides training only, so that seeds compare on the same data."""
    shortest_history: int = Field(default=8, ge=3)
    """Items of the shortest history."""
    longest_history: int = Field(default=13, ge=3, le=50)
    """Histories have lengths from `shortest_history` to here, evenly."""
    drift: float = Field(default=0.2, ge=0, le=1)
    """Chance, at each step, that a user's taste moves on in one attribute."""
    zipf_exponent: float = Field(default=0.6, ge=0, le=2)
    """Popularity of the item at rank r is r to the power of minus this."""
    cold_share: float = Field(default=0.1, ge=0, le=0.5)
    """Part of the items that nobody takes but as one of their last two: they are not in the training parts."""
    cold_rate: float = Field(default=0.15, ge=0, le=1)
    """How much of the popularity cold items have among the last two, where there are any."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shortest_history > self.longest_history:
            raise ValueError("shortest_history is longer than longest_history; lower it")

    @property
    def further_texts(self) -> tuple[str, ...]:
        """Return the one there is."""
        return (DESCRIPTION,)

    def read(
        self, *, titles: Sequence[str], images: Sequence[str], texts: Mapping[str, Sequence[str]] = NO_TEXTS
    ) -> "Catalogue":
        """Make the catalogue; a modality or a text that no tower needs is not made."""
        from peftrec.data.catalogue import Catalogue
        from peftrec.data.items import Items
        from peftrec.data.synthetic.histories import draw_histories
        from peftrec.data.synthetic.pictures import RenderedPictures, render_pictures
        from peftrec.data.synthetic.titles import compose_titles

        attributes = self.attributes()
        pictures = render_pictures(self._stream(PICTURE_STREAM), attributes, self.image_size) if images else None
        items = Items(
            ids=tuple(f"item{item:05d}" for item in range(self.num_items)),
            titles=compose_titles(self._stream(TITLE_STREAM), attributes) if titles else None,
            images=None if pictures is None else RenderedPictures(pictures),
            texts={name: compose_titles(self._stream(DESCRIPTION_STREAM), attributes) for name in texts},
        )
        histories = draw_histories(self._stream(HISTORY_STREAM), attributes, self.num_users, self._habits())
        return Catalogue(items=items, interactions=histories, counts={"items_made_cold": self._num_cold})

    def attributes(self) -> "Attributes":
        """Return the latent attributes of all items: for oracles and probes, never for models."""
        from peftrec.data.synthetic.attributes import Attributes

        return Attributes.draw(self._stream(ATTRIBUTE_STREAM), self.num_items)

    @property
    def _num_cold(self) -> int:
        return round(self.cold_share * self.num_items)

    def _habits(self) -> "Habits":
        from peftrec.data.synthetic.histories import Habits

        return Habits(
            shortest=self.shortest_history,
            longest=self.longest_history,
            drift=self.drift,
            zipf_exponent=self.zipf_exponent,
            # Attributes are drawn independently per item, so the last items are as good as any.
            cold_items=np.arange(self.num_items) >= self.num_items - self._num_cold,
            cold_rate=self.cold_rate,
        )

    def _stream(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.catalogue_seed, stream])
