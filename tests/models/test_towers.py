"""Towers of every supported family, against transformers' own hidden states on tiny random checkpoints."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from peftrec.data.batches import ImageBatch, ItemBatch, TextBatch
from peftrec.errors import SettingsError
from peftrec.models.families import FAMILIES
from peftrec.models.pretrained import PretrainedEncoder, PretrainedImage, PretrainedText
from peftrec.models.towers import OUTPUT, Modality, Tower, Towers

WIDTH, NUM_BLOCKS, FFN, PATCHES = 16, 3, 24, 4
SIZES = {"hidden_size": WIDTH, "num_hidden_layers": NUM_BLOCKS, "num_attention_heads": 2, "intermediate_size": FFN}
WORDS = {"vocab_size": 50, "max_position_embeddings": 40}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": SIZES | WORDS,
    "roberta": SIZES | WORDS,
    "distilbert": {"dim": WIDTH, "n_layers": NUM_BLOCKS, "n_heads": 2, "hidden_dim": FFN} | WORDS,
    "vit": SIZES | {"image_size": 16, "patch_size": 8},
    "deit": SIZES | {"image_size": 16, "patch_size": 8},
}


@dataclass
class Saved:
    """A checkpoint with lively weights, and the model that transformers loads from it."""

    folder: Path
    modality: Modality
    reference: PreTrainedModel

    def load(self, pooling: Literal["cls", "mean"] = "cls", **arguments: Any) -> Tower:
        kind: type[PretrainedEncoder] = PretrainedText if self.modality == "text" else PretrainedImage
        return kind(checkpoint=str(self.folder), pooling=pooling).load(self.modality, seed=0, **arguments)

    def pooled(self, states: Tensor, inputs: TextBatch | ImageBatch, pooling: str) -> Tensor:
        if pooling == "cls":
            return states[:, 0]
        if isinstance(inputs, ImageBatch):
            return states[:, -PATCHES:].mean(1)
        return torch.stack([row[mask].mean(0) for row, mask in zip(states, inputs.mask, strict=True)])

    def outputs(self, inputs: TextBatch | ImageBatch) -> Any:
        with torch.no_grad():
            if isinstance(inputs, TextBatch):
                mask = inputs.mask.long()
                return self.reference(input_ids=inputs.token_ids, attention_mask=mask, output_hidden_states=True)
            pixels = inputs.normalised(torch.float32)
            return self.reference(pixel_values=pixels, output_hidden_states=True)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    name = request.param
    model = AutoModel.from_config(AutoConfig.for_model(name, **ARCHITECTURES[name]))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # as initialised, norms and biases do nothing
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    folder = tmp_path_factory.mktemp(name)
    model.save_pretrained(folder)
    modality: Modality = "text" if FAMILIES[name].modality == "text" else "image"
    return Saved(folder=folder, modality=modality, reference=model.eval())


def inputs_for(saved: Saved, number: int = 4) -> TextBatch | ImageBatch:
    generator = torch.Generator().manual_seed(1)
    if saved.modality == "image":
        pixels = torch.randint(0, 256, (number, 3, 16, 16), generator=generator, dtype=torch.uint8)
        return ImageBatch(pixels=pixels, mean=(0.5,) * 3, std=(0.5,) * 3)
    padding_id = saved.reference.config.pad_token_id
    token_ids = torch.randint(5, 50, (number, 9), generator=generator)
    mask = torch.arange(9) < torch.tensor([9, 2, 5, 7])[:number, None]
    return TextBatch(token_ids=token_ids.masked_fill(~mask, padding_id), mask=mask)


def test_every_family_is_tried_here() -> None:
    assert set(ARCHITECTURES) == set(FAMILIES)
    assert {family.modality for family in FAMILIES.values()} == {"text", "image"}


def test_a_tower_knows_its_width_and_blocks(saved: Saved) -> None:
    tower = saved.load()
    assert (tower.width, tower.num_blocks, len(tower.blocks())) == (WIDTH, NUM_BLOCKS, NUM_BLOCKS)
    assert not tower.training
    assert not any(module.training for module in tower.modules())


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_states_are_the_pooled_hidden_states(saved: Saved, pooling: Literal["cls", "mean"]) -> None:
    inputs = inputs_for(saved)
    expected = saved.outputs(inputs)
    tower = saved.load(pooling)
    indices = (2, OUTPUT, 0, NUM_BLOCKS, 1)
    with torch.no_grad():
        states = tower.states(inputs, indices)
        output = tower(inputs)
    assert states.shape == (4, len(indices), WIDTH)
    for place, index in enumerate(indices):
        state = expected.last_hidden_state if index == OUTPUT else expected.hidden_states[index]
        torch.testing.assert_close(states[:, place], saved.pooled(state, inputs, pooling), rtol=0, atol=1e-5)
    torch.testing.assert_close(output, saved.pooled(expected.last_hidden_state, inputs, pooling), rtol=0, atol=1e-5)
    distinct = states.transpose(0, 1).flatten(1)
    is_normed_after = saved.modality == "image"  # only then the output is another vector than the last state
    apart = torch.pdist(distinct) > 1e-3
    assert int((~apart).sum()) == int(not is_normed_after)


def test_taking_states_leaves_no_hooks(saved: Saved) -> None:
    tower = saved.load()
    with pytest.raises(KeyError):
        tower.states(inputs_for(saved), (0, 1, NUM_BLOCKS + 1))
    for module in tower.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_an_item_does_not_depend_on_its_batch(saved: Saved, pooling: Literal["cls", "mean"]) -> None:
    inputs = inputs_for(saved)
    tower = saved.load(pooling)
    with torch.no_grad():
        together = tower.states(inputs, (0, 1, 2, 3, OUTPUT))
        for item in range(4):
            if isinstance(inputs, TextBatch):
                length = int(inputs.mask[item].sum())
                alone: TextBatch | ImageBatch = TextBatch(
                    token_ids=inputs.token_ids[item : item + 1, :length], mask=inputs.mask[item : item + 1, :length]
                )
            else:
                alone = ImageBatch(pixels=inputs.pixels[item : item + 1], mean=inputs.mean, std=inputs.std)
            states = tower.states(alone, (0, 1, 2, 3, OUTPUT))
            torch.testing.assert_close(states[0], together[item], rtol=1e-6, atol=1e-6)


def test_padding_tokens_are_never_read() -> None:
    tower = PretrainedText(
        architecture={"model_type": "bert", **ARCHITECTURES["bert"]}, random_init=True, pooling="mean"
    ).load("text", seed=0)
    token_ids = torch.randint(5, 50, (3, 8), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(8) < torch.tensor([[3], [8], [1]])
    with torch.no_grad():
        first = tower.double()(TextBatch(token_ids=token_ids, mask=mask))
        second = tower.double()(TextBatch(token_ids=torch.where(mask, token_ids, 7), mask=mask))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-12)


def test_the_sites_are_the_linear_layers_of_every_block(saved: Saved) -> None:
    tower = saved.load()
    paths = {site: tower.site_paths(site) for site in tower.family.sites}
    assert all(len(found) == NUM_BLOCKS for found in paths.values())
    linear = {name for name, module in tower.encoder.named_modules() if isinstance(module, nn.Linear)}
    in_blocks = {name for name in linear if name.startswith(tower.family.blocks + ".")}
    flat = [path for found in paths.values() for path in found]
    assert len(flat) == len(set(flat))
    assert set(flat) == in_blocks
    shapes = {
        site: {tuple(tower.encoder.get_submodule(path).weight.shape) for path in found}  # type: ignore[union-attr, arg-type]
        for site, found in paths.items()
    }
    assert shapes == {key: {(WIDTH, WIDTH)} for key in ("query", "key", "value", "attention_output")} | {
        "ffn_input": {(FFN, WIDTH)},
        "ffn_output": {(WIDTH, FFN)},
    }


def test_query_key_and_value_are_what_they_are_called(saved: Saved) -> None:
    """Without queries or without keys attention is even, so both give one output; without values another."""
    inputs = inputs_for(saved)
    without: dict[str, Tensor] = {}
    for site in ("query", "key", "value"):
        tower = saved.load()
        for path in tower.site_paths(site):
            for parameter in tower.encoder.get_submodule(path).parameters():
                nn.init.zeros_(parameter)
        with torch.no_grad():
            without[site] = tower(inputs)
    torch.testing.assert_close(without["query"], without["key"], rtol=0, atol=1e-5)
    assert (without["query"] - without["value"]).abs().max() > 1e-2


def test_a_site_that_matches_nothing_is_refused_by_name(saved: Saved) -> None:
    tower = saved.load()
    with pytest.raises(SettingsError, match=r"strategy\.sites: 'q_lin' matches nothing") as caught:
        tower.site_paths("q_lin")
    assert all(site in str(caught.value) for site in tower.family.sites)
    assert saved.modality in str(caught.value)


def test_a_block_that_lacks_a_site_is_named(saved: Saved) -> None:
    tower = saved.load()
    path = tower.site_paths("value")[1]
    parent, _, name = path.rpartition(".")
    delattr(tower.encoder.get_submodule(parent), name)
    with pytest.raises(SettingsError, match="'value' is missing in") as caught:
        tower.site_paths("value")
    assert path in str(caught.value)
    assert tower.family.blocks + ".0." not in str(caught.value)


def test_gradients_reach_every_parameter_of_an_adaptable_tower(saved: Saved) -> None:
    tower = saved.load("mean")
    tower(inputs_for(saved)).square().sum().backward()
    without = {name for name, parameter in tower.named_parameters() if parameter.grad is None}
    assert not {name for name in without if "mask_token" not in name}


def batches() -> Iterator[ItemBatch]:
    generator = torch.Generator().manual_seed(0)
    token_ids = torch.randint(5, 50, (3, 5), generator=generator)
    pixels = torch.randint(0, 256, (3, 3, 16, 16), generator=generator, dtype=torch.uint8)
    text = TextBatch(token_ids=token_ids, mask=torch.ones(3, 5, dtype=torch.bool))
    image = ImageBatch(pixels=pixels, mean=(0.5,) * 3, std=(0.5,) * 3)
    yield ItemBatch(items=torch.arange(3), text=text, image=image)
    yield ItemBatch(items=torch.arange(3), text=text)
    yield ItemBatch(items=torch.arange(3), image=image)


def test_towers_stand_image_first_and_read_their_own_content() -> None:
    text = PretrainedText(architecture={"model_type": "bert", **ARCHITECTURES["bert"]}, random_init=True)
    image = PretrainedImage(architecture={"model_type": "vit", **ARCHITECTURES["vit"]}, random_init=True)
    both = Towers(text=text.load("text", seed=0), image=image.load("image", seed=0)).eval()
    whole, text_only, image_only = batches()
    with torch.no_grad():
        vectors = both(whole)
        assert list(vectors) == list(both.present()) == list(both.widths()) == ["image", "text"]
        assert torch.equal(vectors["text"], Towers(text=both.text)(text_only)["text"])
        assert torch.equal(vectors["image"], Towers(image=both.image)(image_only)["image"])
        states = both.states(whole, {"image": (1, OUTPUT), "text": (0,)})
        assert [tensor.shape for tensor in states.values()] == [(3, 2, WIDTH), (3, 1, WIDTH)]
        torch.testing.assert_close(states["image"][:, 1], vectors["image"])
    with pytest.raises(ValueError, match="carries no image"):
        both(text_only)
