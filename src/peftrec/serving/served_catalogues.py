"""The same items as several models encode them: a run's own, and one for each group of its users."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from peftrec.data.items import Items
from peftrec.serving.catalogue import ServedCatalogue


@dataclass(frozen=True, kw_only=True)
class ServedCatalogues:
    """Catalogues with the same items in the same rows; numbers of an item in all of them stand side by side, the run's
    own first."""

    own: ServedCatalogue
    of_groups: tuple[ServedCatalogue, ...] = ()

    def __getitem__(self, group: int) -> ServedCatalogue:
        """Return the catalogue of a group, from 1; 0 is the run's own."""
        return (self.own, *self.of_groups)[group]

    @property
    def dim(self) -> int:
        """How many numbers an item has."""
        return (1 + len(self.of_groups)) * self.own.keys.shape[1]

    @property
    def vector_bytes(self) -> int:
        """Of all items' vectors."""
        return (1 + len(self.of_groups)) * self.own.embeddings.nbytes

    @property
    def added_keys(self) -> Float[np.ndarray, "item keys"]:
        """The numbers of the items that were added."""
        every = (self.own, *self.of_groups)
        return np.concatenate([each.keys[each.num_candidates :] for each in every], axis=1)

    def with_items(self, items: Items, keys: Float[np.ndarray, "item keys"]) -> "ServedCatalogues":
        """Return the catalogues with items behind their own, from the numbers of each."""
        own, *of_groups = np.split(keys, 1 + len(self.of_groups), axis=1)
        extended = self.own.with_items(items, *np.split(own, [self.own.embeddings.shape[1]], axis=1))
        return ServedCatalogues(
            own=extended,
            of_groups=tuple(
                replace(extended, embeddings=np.concatenate([each.embeddings, added]))
                for each, added in zip(self.of_groups, of_groups, strict=True)
            ),
        )
