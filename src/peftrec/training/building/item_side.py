"""The item side of a run before the strategy comes: content and towers. Assembly and the building of a store start
here."""

from peftrec.data.content import ItemContent, Pixels
from peftrec.data.items import Items
from peftrec.errors import DataError, SettingsError
from peftrec.models.towers.towers import Towers
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


def load_content_to_learn(settings: Settings, items: Items, *, keep_bytes: int) -> ItemContent:
    """Load the content of a run's items. Raises SettingsError where the text tower would read the same of all."""
    content = load_content(settings.towers, items, keep_bytes=keep_bytes)
    if content.titles is not None and len(items) > 1 and content.titles.are_alike():
        raise SettingsError(_alike(settings, items, int(content.titles.lengths()[0])))
    return content


def _alike(settings: Settings, items: Items, num_tokens: int) -> str:
    text, titles = settings.towers.text_encoder, items.titles
    assert text is not None
    assert titles is not None
    all_alike = f"all {len(titles):,} titles are the same {num_tokens} tokens to the text tower"
    if len(set(titles)) == 1:
        return f"{all_alike}, because they are the same: {titles[0][:60]!r}; mend the data, or set towers.text=null"
    if num_tokens >= text.max_tokens:
        return f"{all_alike}: towers.text.max_tokens={text.max_tokens} cuts the rest off; raise it (the paper takes 30)"
    return f"{all_alike}: towers.text.tokenizer does not know their words; name the one that belongs to the encoder"


def load_towers(settings: Settings, *, with_weights: bool) -> Towers:
    """Load the towers that the strategy reads; without weights they have shapes only."""
    if not settings.strategy.reads_content:
        return Towers()
    return settings.towers.load(seed=settings.seed, with_weights=with_weights)


def load_trained_towers(settings: Settings, *, with_weights: bool = True) -> Towers:
    """Load what a run's strategy is built on: whole towers; with `states=store` what of them the store does not hold,
    the upper blocks, or shapes alone where it holds all that is read."""
    strategy = settings.strategy
    if not strategy.reads_content or strategy.states == "live":
        return load_towers(settings, with_weights=with_weights)
    towers = load_towers(settings, with_weights=with_weights and strategy.stored_form == "tokens")
    stored = strategy.stored(towers.depths())
    if stored.form == "tokens":
        towers.start_from_stored(stored.layers, keeps_blocks=stored.keeps_blocks)
    return towers
