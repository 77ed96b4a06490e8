"""The checkpoints that ship with the package load offline, are small, and know what items show and say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ViTModel,
)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from peftrec.data.synthetic.attributes import NUM_VALUES
from peftrec.data.synthetic.catalogue import SyntheticCatalogue
from peftrec.data.synthetic.pictures import RenderedPictures
from peftrec.tiny_towers import BERT_DIRECTORY, VIT_DIRECTORY
from peftrec.tiny_towers.image import build_vit, normalise, pretrain_vit
from peftrec.tiny_towers.pretrain import PRETRAINING_SEED
from peftrec.tiny_towers.text import build_bert, pretrain_bert

SOURCE = SyntheticCatalogue(num_items=1200, num_users=2)
NUM_PROBED = 800
"""Items that the probe learns from; the rest test it."""
PROBE_PENALTY = 1e-3
MAX_BYTES = 2_000_000

ENGLISH_TITLES = (
    "Shawshank Redemption, The (1994)",
    "Monty Python's Life of Brian (1979)",
    "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb (1963)",
    "Amélie & Wallace: 100% fun - vol. #2!",
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(BERT_DIRECTORY)


@pytest.fixture(scope="module")
def titles() -> list[str]:
    made = SOURCE.read(titles=["text"], images=[]).items.titles
    assert made is not None
    return list(made)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    made = SOURCE.read(titles=[], images=["image"]).items.images
    assert isinstance(made, RenderedPictures)
    return made.pixels


def read_titles(bert: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, titles: list[str]) -> Tensor:
    batch = tokenizer(titles, padding=True, return_tensors="pt")
    with torch.no_grad():
        return bert.eval()(**batch).last_hidden_state[:, 0]


def look_at(vit: PreTrainedModel, pictures: np.ndarray) -> Tensor:
    with torch.no_grad():
        return vit.eval()(pixel_values=normalise(pictures)).last_hidden_state[:, 0]


def probed_accuracy(states: Tensor, attribute: str) -> float:
    """Fit a logistic regression from states to one attribute; return its accuracy on items it has not seen."""
    values = torch.from_numpy(SOURCE.attributes().by_name()[attribute])
    known = states[:NUM_PROBED]
    inputs = (states - known.mean(0)) / known.std(0)
    probe = nn.Linear(inputs.shape[1], NUM_VALUES[attribute])
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        fit = nn.functional.cross_entropy(probe(inputs[:NUM_PROBED]), values[:NUM_PROBED])
        loss = fit + PROBE_PENALTY * probe.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    guesses = probe(inputs[NUM_PROBED:]).argmax(dim=1)
    return (guesses == values[NUM_PROBED:]).double().mean().item()


def test_checkpoints_are_small() -> None:
    files = [path for folder in (BERT_DIRECTORY, VIT_DIRECTORY) for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MAX_BYTES


@pytest.mark.parametrize(("model", "directory"), [(BertModel, BERT_DIRECTORY), (ViTModel, VIT_DIRECTORY)])
def test_checkpoints_hold_exactly_the_encoder(model: type[PreTrainedModel], directory: Path) -> None:
    encoder, report = model.from_pretrained(
        directory, add_pooling_layer=False, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values())
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert all(parameter.isfinite().all() for parameter in encoder.parameters())


@pytest.mark.parametrize("directory", [BERT_DIRECTORY, VIT_DIRECTORY])
def test_checkpoints_load_by_path_alone(directory: Path) -> None:
    config = AutoConfig.from_pretrained(directory)
    encoder = AutoModel.from_pretrained(directory, dtype=torch.float32)
    assert (config.hidden_size, config.num_hidden_layers) == (64, 4)
    assert encoder.config.model_type == config.model_type


def test_every_synthetic_title_comes_back_from_its_tokens(
    tokenizer: PreTrainedTokenizerBase, titles: list[str]
) -> None:
    for title in titles:
        tokens = tokenizer(title)["input_ids"]
        assert tokenizer.unk_token_id not in tokens
        assert tokenizer.decode(tokens, skip_special_tokens=True).replace(" ", "") == title.lower().replace(" ", "")


def test_words_of_synthetic_titles_are_one_token_each(tokenizer: PreTrainedTokenizerBase, titles: list[str]) -> None:
    assert all(len(tokenizer.tokenize(title)) == len(title.replace(",", " ,").split()) for title in titles)


@pytest.mark.parametrize("title", ENGLISH_TITLES)
def test_english_titles_have_no_unknown_token(tokenizer: PreTrainedTokenizerBase, title: str) -> None:
    assert tokenizer.unk_token not in tokenizer.tokenize(title)


def test_english_titles_do_not_collapse(tokenizer: PreTrainedTokenizerBase) -> None:
    bert = AutoModel.from_pretrained(BERT_DIRECTORY, dtype=torch.float32, add_pooling_layer=False)
    states = read_titles(bert, tokenizer, list(ENGLISH_TITLES))
    similarity = nn.functional.cosine_similarity(states[:, None], states[None], dim=-1)
    assert similarity.fill_diagonal_(-1).max() < 0.95


def test_preprocessor_prepares_what_the_tower_was_trained_on(pictures: np.ndarray) -> None:
    processor = ViTImageProcessorPil.from_pretrained(VIT_DIRECTORY)
    prepared = processor(list(pictures[:4]), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(prepared, normalise(pictures[:4]))


@pytest.fixture(scope="module")
def read(tokenizer: PreTrainedTokenizerBase, titles: list[str]) -> tuple[Tensor, Tensor]:
    """What the text tower, and one of random weights, say of all titles."""
    torch.manual_seed(0)
    pretrained = AutoModel.from_pretrained(BERT_DIRECTORY, dtype=torch.float32, add_pooling_layer=False)
    return read_titles(pretrained, tokenizer, titles), read_titles(build_bert(len(tokenizer)), tokenizer, titles)


@pytest.fixture(scope="module")
def seen(pictures: np.ndarray) -> Tensor:
    """What the image tower says of all pictures."""
    return look_at(AutoModel.from_pretrained(VIT_DIRECTORY, dtype=torch.float32, add_pooling_layer=False), pictures)


@pytest.mark.parametrize("attribute", ["kind", "material", "use"])
def test_text_tower_knows_what_titles_say(read: tuple[Tensor, Tensor], attribute: str) -> None:
    accuracy, baseline = (probed_accuracy(states, attribute) for states in read)
    assert accuracy > baseline + 0.1


@pytest.mark.parametrize("attribute", ["kind", "colour", "pattern"])
def test_image_tower_knows_what_pictures_show(seen: Tensor, attribute: str) -> None:
    assert probed_accuracy(seen, attribute) > 0.95


def test_image_tower_knows_kinds_better_than_random_weights(seen: Tensor, pictures: np.ndarray) -> None:
    """Kinds alone: colours and patterns are so plain in the pixels that random weights pass them on almost whole."""
    torch.manual_seed(0)
    accuracy, baseline = (probed_accuracy(states, "kind") for states in (seen, look_at(build_vit(), pictures)))
    assert accuracy > baseline + 0.1


def test_pretraining_is_deterministic_and_sees_no_default_item(titles: list[str], pictures: np.ndarray) -> None:
    assert SyntheticCatalogue().catalogue_seed != PRETRAINING_SEED
    for first, second in (
        [pretrain_bert(titles[:256], seed=0, num_steps=2)[0] for _ in range(2)],
        [pretrain_vit(pictures[:256], seed=0, num_steps=2) for _ in range(2)],
    ):
        torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)
