"""What using a run costs, measured at its end: what the measurement needs beside the run itself."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from peftrec.data.split import Split
from peftrec.models.towers.towers import Towers
from peftrec.results.costs import Serving
from peftrec.settings.run import Settings
from peftrec.training.building.item_side import load_content, load_towers, load_trained_towers
from peftrec.training.measurement.item_costs import ItemCosts, NewItems
from peftrec.training.measurement.serving import measure_serving
from peftrec.training.module import RecommenderModule

NUM_NEW = 64
"""Items that stand for new ones, spread over the catalogue."""


def serving_of(
    settings: Settings, split: Split, module: RecommenderModule, catalogue: Float[Tensor, "candidate dim"]
) -> Serving:
    """Measure a module with the parameters of its chosen epoch; `catalogue` is what it makes of the candidates."""
    strategy = settings.strategy
    has_pretrained = strategy.reads_content and not settings.towers.feature_files()
    runs_towers = has_pretrained and not (strategy.states == "store" and strategy.stored_form == "pooled")
    costs = ItemCosts(
        module=module,
        num_items=len(catalogue),
        bare=load_trained_towers(settings, with_weights=False) if runs_towers else None,
        new_items=_new_items(settings, split, module) if has_pretrained else None,
    )
    return measure_serving(
        costs,
        catalogue,
        split.test,
        sequence_length=split.sequence_length,
        reads_times=settings.user_encoder.reads_times,
    )


def _new_items(settings: Settings, split: Split, module: RecommenderModule) -> NewItems:
    """Return some of the run's own items as new ones: a store's towers are loaded for them, once and after training,
    as they were to build it."""
    number = min(NUM_NEW, len(split.items))
    items = split.items.select(np.linspace(0, len(split.items) - 1, number).astype(np.int64))

    def load() -> Towers:
        return load_towers(settings, with_weights=True).to(module.device).eval()

    return NewItems(
        content=load_content(settings.towers, items, keep_bytes=0),
        num_items=number,
        load_towers=load if settings.strategy.states == "store" else None,
    )
