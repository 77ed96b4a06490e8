"""Users divided by what they did in training: k-means on the states that the run's user encoder gives them.

A state is read from the training part of a history, and from nothing after it: the published code clusters states that
have read the validation item, so that its validation figures know what they are to predict, and a row of zeros for
padding beside them. Here what is held out can be anything, and only users are clustered.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from peftrec.data.interactions import Interactions
from peftrec.data.loading import padded_sequences
from peftrec.errors import SettingsError
from peftrec.profiles.optional import optional_module
from peftrec.training.run.restored_run import RestoredRun
from peftrec.user_groups.settings import GroupsSettings

NONE = -1
"""In place of the group of a user who does not train."""
NUM_STARTS = 10
"""Of k-means, from other centres each; the best is taken. The published code leaves it to scikit-learn, which took as
many by default before its release 1.4."""
_USERS = 1024  # whose states are computed at once


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Which group each user is in who trains; group 0 has the most."""

    users: tuple[str, ...]
    of_user: Int[np.ndarray, " user"]

    def __len__(self) -> int:
        return int(self.of_user.max()) + 1

    @cached_property
    def sizes(self) -> Int[np.ndarray, " group"]:
        """How many users each has."""
        return np.bincount(self.of_user)

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return dict(zip(self.users, self.of_user.tolist(), strict=True))

    def of(self, users: tuple[str, ...]) -> Int[np.ndarray, " user"]:
        """Return the group of each user by name, NONE where there is none."""
        return np.array([self._by_name.get(user, NONE) for user in users], dtype=np.int64)


def newest_windows(windows: Interactions) -> Bool[np.ndarray, " window"]:
    """Say which window ends each user's training history: a user's windows stand together, the newest first."""
    names = np.array(windows.users)
    return np.append(True, names[1:] != names[:-1])


@torch.inference_mode()
def training_states(run: RestoredRun, catalogue: Float[Tensor, "candidate dim"]) -> Float[np.ndarray, "user dim"]:
    """Return the state of each user who trains, after the last item that trains."""
    windows, module = run.split.windows, run.module
    rows = np.flatnonzero(newest_windows(windows))
    states = []
    with module.as_for_scoring():
        for some in np.array_split(rows, range(_USERS, len(rows), _USERS)):
            read = padded_sequences(
                windows, some, run.split.sequence_length, reads_times=run.settings.user_encoder.reads_times
            ).to(run.device)
            states.append(module.recommender.last_states(catalogue, read.items, read.mask, read.times).float())
    return torch.cat(states).cpu().numpy()


def divide(run: RestoredRun, catalogue: Float[Tensor, "candidate dim"], settings: GroupsSettings) -> Groups:
    """Divide the users who train into groups.

    Raises SettingsError where there are fewer users, or fewer that differ, than groups.
    """
    windows = run.split.windows
    users = tuple(np.array(windows.users)[newest_windows(windows)].tolist())
    if len(users) < settings.number:
        raise SettingsError(f"number={settings.number}: {len(users)} users train; give number={len(users)} at most")
    states = training_states(run, catalogue)
    if (distinct := len(np.unique(states, axis=0))) < settings.number:
        raise SettingsError(
            f"number={settings.number}: the {len(users)} users who train have only {distinct} distinct states; give "
            f"number={distinct} at most"
        )
    cluster = optional_module("sklearn.cluster", key="peftrec groups")
    kmeans = cluster.KMeans(settings.number, n_init=NUM_STARTS, random_state=settings.seed)
    groups = Groups(users=users, of_user=_largest_first(kmeans.fit_predict(states.astype(np.float64))))
    if len(groups) < settings.number:
        raise SettingsError(
            f"number={settings.number}: k-means left {settings.number - len(groups)} groups empty; give "
            f"number={len(groups)}, or other clusters (seed={settings.seed + 1})"
        )
    return groups


def _largest_first(labels: Int[np.ndarray, " user"]) -> Int[np.ndarray, " user"]:
    """Number groups by their size; of equal ones, that of an earlier user is first."""
    _, firsts, labels, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    places = np.empty(len(sizes), dtype=np.int64)
    places[np.lexsort((firsts, -sizes))] = np.arange(len(sizes))
    return places[labels]
