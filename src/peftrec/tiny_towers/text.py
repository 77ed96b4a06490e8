"""The tiny BERT: it learns to name all words of a title from the [CLS] state of a title with words missing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel, BertTokenizer

from peftrec.data.synthetic.titles import lexicon
from peftrec.tiny_towers.optimisation import endless_batches, optimise
from peftrec.tiny_towers.vocabulary import MAX_TOKENS, PLAIN_WORDS, build_tokenizer

HIDDEN, NUM_BLOCKS, NUM_HEADS = 64, 4, 4
INITIAL_SPREAD = 0.1
"""BERT's 0.02 is for states twelve times as wide."""
BATCH_SIZE, NUM_STEPS, PEAK_LEARNING_RATE = 128, 900, 3e-3
PLAIN_SHARE = 0.15
"""Titles of random words among the synthetic ones, so that titles that no template made do not collapse."""
DROPPED, MASKED, SPELT = 0.05, 0.1, 0.1
"""Chances, per word of a view, to be left out, masked, or spelt from small pieces."""


def build_bert(vocabulary_size: int) -> BertModel:
    """Build the tiny BERT with random weights."""
    config = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=HIDDEN,
        initializer_range=INITIAL_SPREAD,
        num_hidden_layers=NUM_BLOCKS,
        num_attention_heads=NUM_HEADS,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=MAX_TOKENS,
        pad_token_id=0,
    )
    bert = BertModel(config, add_pooling_layer=False)
    nn.init.normal_(bert.embeddings.word_embeddings.weight)  # words, not places, decide what the first block sees
    return bert


@dataclass(frozen=True)
class View:
    """Titles with words missing, and all the words they had."""

    token_ids: Int[Tensor, "item word"]
    mask: Int[Tensor, "item word"]
    named: Float[Tensor, "item piece"]
    """The pieces of the whole title, seen or not, as shares that sum to 1."""


class TitleViews:
    """Titles as words, each known whole and spelt; gives a new view of a title at every call."""

    def __init__(self, titles: Sequence[str], tokenizer: BertTokenizer, generator: np.random.Generator) -> None:
        self.tokenizer = tokenizer
        self.generator = generator
        split = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str
        self.titles = [[word for word, _ in split(title.lower())] for title in titles]
        words = sorted({word for title in self.titles for word in title})
        speller = build_tokenizer(has_words=False)
        self.whole = {word: tokenizer.encode(word, add_special_tokens=False) for word in words}
        self.spelt = {word: speller.encode(word, add_special_tokens=False) for word in words}

    def __len__(self) -> int:
        return len(self.titles)

    def view(self, items: Sequence[int]) -> View:
        """Make one view of each title."""
        rows = [torch.tensor(self._tokens(self.titles[item])) for item in items]
        token_ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.tokenizer.pad_token_id)
        named = torch.zeros(len(items), len(self.tokenizer))
        for row, item in enumerate(items):
            pieces = list({piece for word in self.titles[item] for piece in self.whole[word]})
            named[row, pieces] = 1 / len(pieces)
        return View(token_ids=token_ids, mask=(token_ids != self.tokenizer.pad_token_id).long(), named=named)

    def _tokens(self, words: list[str]) -> list[int]:
        tokens = [self.tokenizer.cls_token_id]
        for word, chance in zip(words, self.generator.random(len(words)), strict=True):
            if chance < DROPPED:
                continue
            if chance < DROPPED + MASKED:
                tokens.append(self.tokenizer.mask_token_id)
            elif chance < DROPPED + MASKED + SPELT:
                tokens += self.spelt[word]
            else:
                tokens += self.whole[word]
        return [*tokens[: MAX_TOKENS - 1], self.tokenizer.sep_token_id]


def plain_titles(generator: np.random.Generator, count: int) -> list[str]:
    """Put random words together, three to eight."""
    words = (*lexicon(), *PLAIN_WORDS)
    return [" ".join(generator.choice(words, size=generator.integers(3, 9))) for _ in range(count)]


def pretrain_bert(titles: Sequence[str], *, seed: int, num_steps: int = NUM_STEPS) -> tuple[BertModel, BertTokenizer]:
    """Train a tiny BERT on unlabelled titles: from [CLS], name the words, those seen and those missing.

    Guessing masked words from their own states as well was tried: [CLS] then hardly learned in as many steps, as the
    words of a synthetic title say little about each other.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    tokenizer = build_tokenizer()
    bert = build_bert(len(tokenizer))
    views = TitleViews([*titles, *plain_titles(generator, int(PLAIN_SHARE * len(titles)))], tokenizer, generator)
    namer = nn.Linear(HIDDEN, len(tokenizer))

    def loss_of(batch: Tensor) -> Tensor:
        view = views.view(batch.tolist())
        states = bert(input_ids=view.token_ids, attention_mask=view.mask).last_hidden_state
        return functional.cross_entropy(namer(states[:, 0]), view.named)

    batches = endless_batches(len(views), BATCH_SIZE)
    optimise(nn.ModuleList([bert, namer]), loss_of, batches, num_steps=num_steps, peak=PEAK_LEARNING_RATE)
    return bert, tokenizer
