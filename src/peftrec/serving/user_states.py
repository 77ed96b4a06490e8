"""States of users after their histories, by a run's own user encoder: what scores are dot products with."""

import numpy as np
import torch
from jaxtyping import Float, Int

from peftrec.data.interactions import Interactions
from peftrec.data.loading import PaddedSequences, padded_sequences
from peftrec.errors import CheckpointError, SettingsError
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.training.run.restored_run import RestoredRun

USERS_AT_ONCE = 8
"""Users that the encoder reads together, always so many: kernels for other shapes add in another order, and a user's
state would depend on how many others were asked about. Eight take half as long again as one, and a user among a
thousand takes half of one among eight (BENCHMARKS, "Recommending to many users")."""


def user_states(
    run: RestoredRun, catalogue: ServedCatalogue, histories: Interactions, rows: Int[np.ndarray, " user"]
) -> Float[np.ndarray, "user dim"]:
    """Return the state of each user after the end of their history; `rows` are those of `histories`, whose items are
    rows of the catalogue.

    Raises SettingsError where the encoder reads times and the histories have none, CheckpointError where a state is
    not finite.
    """
    reads_times = run.settings.user_encoder.reads_times
    if reads_times and histories.times is None:
        raise SettingsError("items: the run's user encoder reads times, which a list of items lacks; name a user")
    length = run.split.sequence_length
    states = [np.empty((0, catalogue.embeddings.shape[1]), dtype=np.float32)]
    for start in range(0, len(rows), USERS_AT_ONCE):
        own = rows[start : start + USERS_AT_ONCE]
        block = np.concatenate([own, np.repeat(own[:1], USERS_AT_ONCE - len(own))])
        read = padded_sequences(histories, block, length, reads_times=reads_times)
        states.append(_states(run, catalogue, read)[: len(own)])
    found = np.concatenate(states)
    if not np.isfinite(found).all():
        raise CheckpointError("the user's state is not finite, so nothing can be ranked by it; train the run again")
    return found


def _states(run: RestoredRun, catalogue: ServedCatalogue, read: PaddedSequences) -> Float[np.ndarray, "user dim"]:
    recommender = run.module.recommender
    dtype = next(recommender.user_encoder.parameters()).dtype
    # What stands in the histories is copied to the device, not the whole catalogue.
    embeddings = torch.from_numpy(catalogue.embeddings[read.items.numpy().ravel()]).to(run.device, dtype)
    places = torch.arange(read.items.numel(), device=run.device).view(read.items.shape)
    times = None if read.times is None else read.times.to(run.device)
    with torch.inference_mode():
        states: Float[np.ndarray, "user dim"] = (
            recommender.last_states(embeddings, places, read.mask.to(run.device), times).float().cpu().numpy()
        )
    return states
