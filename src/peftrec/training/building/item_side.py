"""The item side of a run before the strategy comes: content and towers. Assembly and the building of a store start
here."""

from peftrec.data.content import ItemContent, Pixels
from peftrec.data.items import Items
from peftrec.errors import DataError
from peftrec.models.towers.tower import Towers
from peftrec.settings.run import Settings
from peftrec.towers.pair import TowerPair


def load_content(towers: TowerPair, items: Items, *, keep_bytes: int) -> ItemContent:
    """Tokenise titles and prepare images for the towers there are; decoded images stay where they fit `keep_bytes`."""
    text, image = towers.text_encoder, towers.image_encoder
    if (text is not None and items.titles is None) or (image is not None and items.images is None):
        lacking = "text" if items.titles is None else "image"
        raise DataError(f"the data holds no {lacking}s for the {lacking} tower; set towers.{lacking}=null")
    return ItemContent(
        titles=None if text is None or items.titles is None else text.tokenise(items.titles),
        pixels=(
            None
            if image is None or items.images is None
            else Pixels(items.images, image.transform(), keep_bytes=keep_bytes)
        ),
        features=items.features,
    )


def load_towers(settings: Settings, *, with_weights: bool) -> Towers:
    """Load the towers that the strategy reads; without weights they have shapes only."""
    if not settings.strategy.reads_content:
        return Towers()
    return settings.towers.load(seed=settings.seed, with_weights=with_weights)
