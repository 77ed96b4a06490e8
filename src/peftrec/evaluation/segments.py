"""Metrics per segment of users: cold or warm target, head or tail item, length of the history."""

from typing import Any

import numpy as np
import numpy.typing as npt

from peftrec.evaluation.metrics import ranking_metrics

_HEAD_SHARE = 0.2  # the most popular fifth of the trained items, as is usual for head and tail
_HISTORY_EDGES = (0, 5, 10, 20, 50)


def segment_masks(
    train_counts: npt.NDArray[np.int64],
    targets: npt.NDArray[np.integer[Any]],
    history_lengths: npt.NDArray[np.int64],
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return who belongs to which segment: `cold` targets never occur in training, `head` and `tail` share the warm
    ones, `history_5_to_9` and the like tell how many items precede the target."""
    counts = train_counts[targets]
    trained = np.sort(train_counts[train_counts > 0])[::-1]
    head_count = trained[max(0, int(np.ceil(_HEAD_SHARE * len(trained))) - 1)]
    masks = {
        "warm": counts > 0,
        "cold": counts == 0,
        "head": counts >= head_count,
        "tail": (counts > 0) & (counts < head_count),
    }
    for low, high in zip(_HISTORY_EDGES, (*_HISTORY_EDGES[1:], None), strict=True):
        name = f"history_{low}_to_{high - 1}" if high is not None else f"history_{low}_or_more"
        masks[name] = (history_lengths >= low) & (history_lengths < (high or np.inf))
    return masks


def segment_metrics(
    ranks: npt.NDArray[np.integer[Any]],
    is_unreachable: npt.NDArray[np.bool_],
    masks: dict[str, npt.NDArray[np.bool_]],
) -> dict[str, dict[str, float]]:
    """Return each segment's metrics and `num_users`; a segment without users is left out."""
    return {
        name: {**ranking_metrics(ranks[mask], is_unreachable[mask]), "num_users": float(mask.sum())}
        for name, mask in masks.items()
        if mask.any()
    }
