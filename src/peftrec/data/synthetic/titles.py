"""Product titles: templates filled with words that say kind, material and use, between words that say nothing."""

import numpy as np

from peftrec.data.synthetic.attributes import Attributes


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


KIND_WORDS = (
    ("bag", "tote", "carrier"),
    ("mug", "cup", "beaker"),
    ("lamp", "light", "lantern"),
    ("clock", "timer", "timepiece"),
    ("bottle", "flask", "canteen"),
    ("rug", "mat", "runner"),
    ("shirt", "tee", "top"),
    ("tent", "canopy", "shelter"),
)
MATERIAL_WORDS = (
    ("cotton", "canvas", "muslin"),
    ("steel", "stainless", "chrome"),
    ("bamboo", "rattan", "wicker"),
    ("leather", "suede", "hide"),
    ("glass", "crystal", "glazed"),
    ("wool", "merino", "felt"),
    ("ceramic", "porcelain", "stoneware"),
    ("nylon", "polyester", "synthetic"),
)
USE_WORDS = (
    ("hiking", "trekking", "trail"),
    ("office", "desk", "workplace"),
    ("kitchen", "cooking", "dining"),
    ("travel", "cabin", "journey"),
    ("garden", "patio", "outdoor"),
    ("nursery", "toddler", "kids"),
    ("fitness", "gym", "yoga"),
    ("party", "festive", "holiday"),
)
BRANDS = _words(
    "acorn alder arden aspen barlow birchfield calder camden cedar clover corvin darby dunmore elmwood everly fenwick "
    "finch garnet glenhaven halden harrow ivydale juniper kestrel larkin linden marlow nordal oakley rowan sorrel "
    "thistle"
)
ADJECTIVES = _words(
    "classic modern premium deluxe essential everyday original compact portable durable stylish elegant simple "
    "vintage rustic handmade organic natural sturdy reliable practical slim wide large mini new soft quality basic "
    "smart foldable exclusive"
)
EXTRAS = _words(
    "set pack kit bundle edition series collection model style piece pair gift box case cover handle strap pocket lid "
    "base stand hook trim edge"
)
NUMBERS = ("2", "3", "4", "6", "8", "10", "12", "24")

CONNECTIVES = ("for", "with", "by", "and", "of", "the", "in", "a")

# Many titles say the same thing in two words, as real ones do: so that what words mean can be learnt from titles alone.
TEMPLATES = tuple(
    template.split()
    for template in (
        "BRAND ADJECTIVE MATERIAL KIND for USE",
        "BRAND MATERIAL USE KIND , USE KIND",
        "ADJECTIVE MATERIAL KIND for USE and USE by BRAND",
        "USE KIND in MATERIAL with MATERIAL EXTRA",
        "the BRAND USE KIND , a MATERIAL KIND",
        "BRAND USE KIND of MATERIAL and MATERIAL , EXTRA NUMBER",
        "ADJECTIVE MATERIAL KIND , MATERIAL KIND for USE",
        "EXTRA of NUMBER MATERIAL USE KIND by BRAND",
    )
)


def lexicon() -> tuple[str, ...]:
    """Return every word that a title may hold, sorted."""
    groups = (*KIND_WORDS, *MATERIAL_WORDS, *USE_WORDS, BRANDS, ADJECTIVES, EXTRAS, NUMBERS, CONNECTIVES)
    return tuple(sorted({word for group in groups for word in group}))


def compose_titles(generator: np.random.Generator, attributes: Attributes) -> tuple[str, ...]:
    """Write one title per item; each attribute has several words, so that no single word decides."""
    fillers = {"BRAND": BRANDS, "ADJECTIVE": ADJECTIVES, "EXTRA": EXTRAS, "NUMBER": NUMBERS}
    return tuple(
        _compose(
            generator, fillers | {"KIND": KIND_WORDS[kind], "MATERIAL": MATERIAL_WORDS[material], "USE": USE_WORDS[use]}
        )
        for kind, material, use in zip(attributes.kind, attributes.material, attributes.use, strict=True)
    )


def _compose(generator: np.random.Generator, words: dict[str, tuple[str, ...]]) -> str:
    """Fill a template; a slot that occurs twice gets two different words."""
    template = TEMPLATES[generator.integers(len(TEMPLATES))]
    first = {slot: int(generator.integers(len(choices))) for slot, choices in words.items()}
    spoken = []
    for place, slot in enumerate(template):
        if slot not in words:
            spoken.append(slot)
            continue
        choices = words[slot]
        spoken.append(choices[(first[slot] + template[:place].count(slot)) % len(choices)])
    title = " ".join(spoken).replace(" ,", ",")
    return title[0].upper() + title[1:]
