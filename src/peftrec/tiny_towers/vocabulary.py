"""The tiny BERT's WordPiece vocabulary: the words of synthetic titles whole, any other word from smaller pieces.

Letters, digits and punctuation are pieces of their own, so a real English title has no unknown word, only long ones;
frequent short words and letter groups keep it from falling apart into letters.
"""

import string

from transformers import BertTokenizer

from peftrec.data.synthetic.titles import lexicon

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_TOKENS = 64


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PLAIN_WORDS = _words(
    "about after all an are at back bad be before best between big black blue boy brother call can cat child city "
    "come dark day dead death dog down dream earth end eye face fall family father fire first fish food free friend "
    "from full game girl go gold good great green hand hard head heart hello her high his home horse hot house i i'm "
    "is it king lady land last life little live long lost love man me men moon mother movie mr mrs music my name "
    "night no north not on one only open or our out over paper part peace play power red road room royal school sea "
    "secret she show sky so song sound south space star stone story street summer sun sweet that they thing this "
    "three time to town toy true two under up very war was water way we west what when where white who wild wind "
    "winter with woman women world year you young your"
)
"""Words that the lexicon lacks and English titles often hold."""

LETTER_GROUPS = _words(
    "ab ac ad al am an ap ar as at ch ck co de di ea ed el en ent er es est et ge he ia ic id il in ing ion ir is it "
    "ive la le li ll ly ma man me ment mo ne ness ng ni nt ol on or ou ow ra re ri ro se sh st ta te ter th ti tion "
    "to tr un ur us ve"
)
"""Groups of letters that English words are often made of; they begin or continue a word."""


def spelling_pieces() -> list[str]:
    """Return the pieces that any word can be spelt with."""
    characters = string.ascii_lowercase + string.digits
    beginnings = [*string.punctuation, *characters, *LETTER_GROUPS]
    return [*beginnings, *(f"##{piece}" for piece in (*characters, *LETTER_GROUPS))]


def build_tokenizer(*, has_words: bool = True) -> BertTokenizer:
    """Build the tokenizer; without words it spells everything, with the same token ids."""
    pieces = [*SPECIAL_TOKENS, *spelling_pieces()]
    words = [*lexicon(), *PLAIN_WORDS] if has_words else []
    tokens = dict.fromkeys([*pieces, *words])
    return BertTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, do_lower_case=True, model_max_length=MAX_TOKENS
    )
