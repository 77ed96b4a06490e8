"""The item side of a run before the strategy comes: content and towers. Assembly and the building of a store start
here."""

from typing import TypeVar

from peftrec.data.content import ItemContent, Pixels, TokenisedTitles, TowerContent
from peftrec.data.items import Items
from peftrec.errors import DataError, SettingsError
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.towers import Towers
from peftrec.settings.run import Settings
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedText
from peftrec.towers.ready_features import ReadyFeatures

Content = TypeVar("Content")


def load_content(towers: TowerPair, items: Items, *, keep_bytes: int) -> ItemContent:
    """Tokenise texts and prepare images for the towers there are; decoded images stay where they fit `keep_bytes`."""
    by_tower: dict[TowerName, TowerContent] = {}
    for name, part in towers.parts.items():
        if isinstance(part, ReadyFeatures):
            by_tower[name] = items.features[name]
        elif isinstance(part, PretrainedText):
            by_tower[name] = part.tokenise(_there(items.text(part.text), name, part.content), name)
        else:
            images, share = _there(items.images, name, part.content), keep_bytes // len(towers.image_encoders)
            by_tower[name] = Pixels(images, part.transform(name), keep_bytes=share)
    return ItemContent(by_tower=by_tower)


def _there(content: Content | None, tower: TowerName, kind: str) -> Content:
    if content is None:
        raise DataError(f"the data holds no {kind} for the {tower} tower; set towers.{tower}=null")
    return content


def load_content_to_learn(settings: Settings, items: Items, *, keep_bytes: int) -> ItemContent:
    """Load the content of a run's items. Raises SettingsError where a tower would read the same of all; ready features
    were looked through where they met the items."""
    content = load_content(settings.towers, items, keep_bytes=keep_bytes)
    for name, each in content.by_tower.items():
        if len(items) > 1 and isinstance(each, TokenisedTitles) and each.are_alike():
            raise SettingsError(_texts_alike(settings, items, name, int(each.lengths()[0])))
        if len(items) > 1 and isinstance(each, Pixels) and each.are_alike():
            raise SettingsError(
                f"all {len(items):,} images are the same to the {name} tower ({each.transform.describe()}), so that "
                f"they tell no item from another; mend the data, or set towers.{name}=null"
            )
    return content


def _texts_alike(settings: Settings, items: Items, name: TowerName, num_tokens: int) -> str:
    text = settings.towers.text_encoders[name]
    texts = _there(items.text(text.text), name, text.content)
    key, all_alike = (
        f"towers.{name}",
        f"all {len(texts):,} {text.content} are the same {num_tokens} tokens to the {name} tower",
    )
    if len(set(texts)) == 1:
        return f"{all_alike}, because they are the same: {texts[0][:60]!r}; mend the data, or set {key}=null"
    if num_tokens >= text.max_tokens:
        return f"{all_alike}: {key}.max_tokens={text.max_tokens} cuts the rest off; raise it (the paper takes 30)"
    return f"{all_alike}: {key}.tokenizer does not know their words; name the one that belongs to the encoder"


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
