"""What the laws of strategies look at."""

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from peftrec.config.instantiate import build_part, describe_part
from peftrec.models.item_encoder import ItemEncoder
from peftrec.settings.run import Settings
from peftrec.strategies.base import Strategy
from peftrec.testing.small_towers import without_dropout
from peftrec.testing.steps import DIM, NUM_ITEMS, build, copies, small, train
from peftrec.towers.pair import TowerPair
from peftrec.training.module import RecommenderModule


class StrategyTrial:
    """A strategy on small towers: built, and trained, once for all laws."""

    def __init__(self, settings: Settings, pair: TowerPair) -> None:
        self.settings = small(settings, pair)
        self.strategy = self.settings.strategy
        self.pair = pair

    @cached_property
    def built(self) -> RecommenderModule:
        """The module before any step; laws leave it as it is."""
        return build(self.settings)

    @cached_property
    def before(self) -> dict[str, Tensor]:
        """The parameters before any step."""
        return copies(self.built)

    @cached_property
    def trained(self) -> RecommenderModule:
        """Another such module, after a few steps."""
        module = build(self.settings)
        train(module, self.settings)
        return module

    @cached_property
    def quiet_pair(self) -> TowerPair:
        """The towers, drawing nothing in training themselves."""
        return without_dropout(self.pair)

    @cached_property
    def quiet_encoder(self) -> ItemEncoder:
        """What the strategy makes of them, live; laws change nothing of it but modes."""
        torch.manual_seed(0)
        return self.strategy.adapt(self.quiet_pair.load(seed=1), embedding_dim=DIM, num_items=NUM_ITEMS)

    def with_states(self, states: str) -> Settings:
        """Return the settings with states live or from a store. Raises SettingsError where the strategy reads none."""
        node = {**describe_part(self.strategy, Strategy), "states": states}
        changed: Strategy = build_part(Strategy, node, "strategy")  # type: ignore[type-abstract]
        return replace(self.settings, strategy=changed)
