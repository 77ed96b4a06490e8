"""The run that one which reads a store would be without it: the same strategy, its towers computed in every step."""

from dataclasses import replace
from typing import TypeVar

from peftrec.errors import SettingsError
from peftrec.settings.run import Settings
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText

Part = TypeVar("Part")


def live_twin(settings: Settings) -> Settings | None:
    """Return the run's live twin; null where there may be none, as with an objective that scores against all items,
    which would run towers over all of them in every step. Where weights lie changes no operation, so that towers which
    are too large for the memory are taken to be in it."""
    strategy = replace(settings.strategy, states="live")
    try:
        return replace(settings, strategy=strategy, towers=_in_memory(settings.towers))
    except SettingsError:
        return None


def _in_memory(towers: TowerPair) -> TowerPair:
    others = {name: _part_in_memory(part) for name, part in towers.others.items()}
    return replace(towers, text=_part_in_memory(towers.text), image=_part_in_memory(towers.image), others=others)


def _part_in_memory(part: Part) -> Part:
    return replace(part, offload=False) if isinstance(part, PretrainedText | PretrainedImage) else part
