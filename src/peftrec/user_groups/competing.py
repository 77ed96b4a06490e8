"""What a group's positions compete with, where that is to be of the group alone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peftrec.data.competing import Competition


@dataclass(frozen=True, kw_only=True)
class WithinGroup(Competition):
    """Puts beside a batch what the objective asks for, from the items that occur in the group's training histories: a
    catalogue of these. (What a loss was told of the whole catalogue's size stays.)"""

    def beside(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        assert self.train_counts is not None
        items = np.flatnonzero(self.train_counts).astype(np.int32)
        among = Competition(competitors=self.competitors, train_counts=self.train_counts[items], seed=self.seed)
        return items[among.beside(rows)]
