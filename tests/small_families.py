"""Small checkpoints of every supported family, saved as the hub's are: weights, tokenizer, image processor."""

import copy
import functools
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerFast

from peftrec.data.batches import ImageBatch, ItemBatch, PatchBatch
from peftrec.data.content import ItemContent, Pixels
from peftrec.data.synthetic.pictures import RenderedPictures
from peftrec.models.towers.families import family_of
from peftrec.models.towers.family import Family
from peftrec.models.towers.names import Modality
from peftrec.models.towers.tower import Tower
from peftrec.models.towers.towers import Towers
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText

WIDTH, NUM_BLOCKS, FFN, SIDE, PATCHES = 32, 3, 64, 16, 4
WORDS = ["red", "steel", "lamp", "wooden", "chair", "small", "blue", "kettle", "desk", "garden"]
VOCABULARY, POSITIONS = 40, 40
TITLES = ["Red steel lamp", "chair", "small blue kettle on a wooden desk", "", "garden garden", "Lamp"]
SIZES = {"hidden_size": WIDTH, "num_hidden_layers": NUM_BLOCKS, "num_attention_heads": 2, "intermediate_size": FFN}
TOKENS = {"vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS}
PIXELS = {"image_size": SIDE, "patch_size": 8}
MOST_PATCHES = 6
"""Of an image at its own proportions, as its processor says."""
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ENDS = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
GROUPED = {"num_key_value_heads": 1, **ENDS}
"""Two heads of queries share one of keys and values."""
WINDOWED = {"head_dim": 12, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": NUM_BLOCKS - 1}
GEMMA = (
    SIZES
    | TOKENS
    | GROUPED
    | {"head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 4}
    | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
)
"""Windows are shorter than the longest title."""
DISENTANGLED = {
    "relative_attention": True,
    "position_buckets": 4,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}


@dataclass(frozen=True, kw_only=True)
class SmallCheckpoint:
    """One checkpoint of the list below."""

    modality: Modality
    model_type: str
    """Of the encoder; what a pair's config says is `pair`."""
    settings: dict[str, Any]
    pair: str | None = None
    """Model type of the two encoders that are saved together; null saves this one alone."""
    dense: tuple[int, ...] = ()
    """Widths between its dense layers behind the pooling, where it is a checkpoint of sentence-transformers."""

    @property
    def family(self) -> Family:
        return family_of(AutoConfig.for_model(**self.architecture()))

    def architecture(self) -> dict[str, Any]:
        return {"model_type": self.model_type, **self.settings}


TEXT_HALF, IMAGE_HALF = SIZES | TOKENS | ENDS, SIZES | PIXELS
VISION = {"depth": NUM_BLOCKS, "hidden_size": WIDTH, "num_heads": 2, "intermediate_size": FFN, "patch_size": 4}
WINDOWED = VISION | {"window_size": 8, "fullatt_block_indexes": [1], "out_hidden_size": 24}
"""Two patches are joined on each side, and a window is one such block."""
STACKED = VISION | {"num_position_embeddings": 25, "deepstack_visual_indexes": [1], "out_hidden_size": 24}
NAFLEX = SIZES | {"patch_size": 8, "num_patches": 16}
CHECKPOINTS = {
    "bert": SmallCheckpoint(modality="text", model_type="bert", settings=SIZES | TOKENS),
    "roberta": SmallCheckpoint(modality="text", model_type="roberta", settings=SIZES | TOKENS | {"pad_token_id": 1}),
    "xlm_roberta": SmallCheckpoint(
        modality="text", model_type="xlm-roberta", settings=SIZES | TOKENS | {"pad_token_id": 1}
    ),
    "llama": SmallCheckpoint(modality="text", model_type="llama", settings=SIZES | TOKENS | GROUPED),
    "qwen3": SmallCheckpoint(modality="text", model_type="qwen3", settings=SIZES | TOKENS | GROUPED | WINDOWED),
    "gemma3": SmallCheckpoint(modality="text", model_type="gemma3_text", settings=GEMMA),
    "embedding_gemma": SmallCheckpoint(
        modality="text", model_type="gemma3_text", settings=GEMMA | {"use_bidirectional_attention": True}, dense=(48,)
    ),
    "modernbert": SmallCheckpoint(
        modality="text",
        model_type="modernbert",
        settings=SIZES | TOKENS | ENDS | {"cls_token_id": 2, "sep_token_id": 3, "local_attention": 4},
    ),
    "distilbert": SmallCheckpoint(
        modality="text",
        model_type="distilbert",
        settings={"dim": WIDTH, "n_layers": NUM_BLOCKS, "n_heads": 2, "hidden_dim": FFN} | TOKENS,
    ),
    "deberta_v2": SmallCheckpoint(
        modality="text", model_type="deberta-v2", settings=SIZES | TOKENS | DISENTANGLED | {"conv_kernel_size": 3}
    ),
    "deberta_v3": SmallCheckpoint(modality="text", model_type="deberta-v2", settings=SIZES | TOKENS | DISENTANGLED),
    "clip_text": SmallCheckpoint(modality="text", model_type="clip_text_model", settings=TEXT_HALF),
    "clip_pair_text": SmallCheckpoint(modality="text", model_type="clip_text_model", settings=TEXT_HALF, pair="clip"),
    "siglip_text": SmallCheckpoint(modality="text", model_type="siglip_text_model", settings=TEXT_HALF),
    "siglip_pair_text": SmallCheckpoint(
        modality="text", model_type="siglip_text_model", settings=TEXT_HALF, pair="siglip"
    ),
    "vit": SmallCheckpoint(modality="image", model_type="vit", settings=SIZES | PIXELS),
    "deit": SmallCheckpoint(modality="image", model_type="deit", settings=SIZES | PIXELS),
    "clip_image": SmallCheckpoint(modality="image", model_type="clip_vision_model", settings=IMAGE_HALF),
    "clip_pair_image": SmallCheckpoint(
        modality="image", model_type="clip_vision_model", settings=IMAGE_HALF, pair="clip"
    ),
    "siglip_image": SmallCheckpoint(modality="image", model_type="siglip_vision_model", settings=IMAGE_HALF),
    "siglip_pair_image": SmallCheckpoint(
        modality="image", model_type="siglip_vision_model", settings=IMAGE_HALF, pair="siglip"
    ),
    "naflex": SmallCheckpoint(modality="image", model_type="siglip2_vision_model", settings=NAFLEX),
    "naflex_pair_text": SmallCheckpoint(
        modality="text", model_type="siglip2_text_model", settings=TEXT_HALF, pair="siglip2"
    ),
    "naflex_pair_image": SmallCheckpoint(
        modality="image", model_type="siglip2_vision_model", settings=NAFLEX, pair="siglip2"
    ),
    "qwen2_5_vision": SmallCheckpoint(modality="image", model_type="qwen2_5_vl_vision", settings=WINDOWED),
    "qwen3_vision": SmallCheckpoint(modality="image", model_type="qwen3_vl_vision", settings=STACKED),
    "dinov2": SmallCheckpoint(
        modality="image", model_type="dinov2", settings=SIZES | {"image_size": 48, "patch_size": 8, "mlp_ratio": 2}
    ),
    "dinov2_with_registers": SmallCheckpoint(
        modality="image",
        model_type="dinov2_with_registers",
        settings=SIZES | {"image_size": 48, "patch_size": 8, "mlp_ratio": 2, "num_register_tokens": 3},
    ),
    "dinov3": SmallCheckpoint(
        modality="image",
        model_type="dinov3_vit",
        settings=SIZES | PIXELS | {"num_register_tokens": 4, "use_gated_mlp": True},
    ),
}
"""DINOv2's was made for larger images, as the published ones were. MiniLM is a small BERT."""

UNLIKE = {"bert", "qwen3", "modernbert", "clip_pair_text", "vit", "naflex", "dinov2", "qwen2_5_vision"}
"""Which quick tests look at: towers of one direction and two, of blocks that see all and some, of half a checkpoint, of
images of any size. Each of the others is like one of them."""


def _marks(name: str) -> list[pytest.MarkDecorator]:
    if name.startswith("naflex_pair"):  # what a checkpoint of two NaFlex encoders holds is in others
        return [pytest.mark.slow]
    return [] if name in UNLIKE else [pytest.mark.integration]


SAVED = [pytest.param(name, marks=_marks(name)) for name in CHECKPOINTS]
"""For tests of each."""

_PAIR_MODELS = {"clip": "CLIPModel", "siglip": "SiglipModel", "siglip2": "Siglip2Model"}
_IMAGE_HALVES = {"clip": IMAGE_HALF, "siglip": IMAGE_HALF, "siglip2": NAFLEX}
_HALVES = {"text": ("text_config", "text_model"), "image": ("vision_config", "vision_model")}


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint on disk, and the encoder that transformers makes of it."""

    name: str
    folder: Path
    checkpoint: SmallCheckpoint
    reference: PreTrainedModel
    dense: tuple[Tensor, ...] = ()
    """Weights of its dense layers."""

    def vector(self, pooled: Tensor) -> Tensor:
        """What the checkpoint makes of pooled states."""
        for weight in self.dense:
            pooled = pooled @ weight.T
        return pooled

    @property
    def modality(self) -> Modality:
        return self.checkpoint.modality

    def settings(self, **changes: Any) -> PretrainedText | PretrainedImage:
        if self.modality == "text":
            return PretrainedText(checkpoint=str(self.folder), **changes)
        sizes = {"image_size": SIDE} if self.checkpoint.family.is_packed else {}  # a processor says none
        return PretrainedImage(checkpoint=str(self.folder), **sizes | changes)

    def load(self, **changes: Any) -> Tower:
        return copy.deepcopy(_load(self.settings(**changes), self.modality))

    def pair(self) -> TowerPair:
        settings = self.settings()
        return TowerPair(
            text=settings if isinstance(settings, PretrainedText) else None,
            image=settings if isinstance(settings, PretrainedImage) else None,
        )


@functools.cache
def _load(settings: PretrainedText | PretrainedImage, modality: Modality) -> Tower:
    return settings.load(modality, seed=0)


def load_towers(pair: TowerPair) -> Towers:
    """Load a pair's towers, from the files the first time only."""
    return Towers(
        text=None if pair.text is None else copy.deepcopy(_load(pair.text, "text")),
        image=None if pair.image is None else copy.deepcopy(_load(pair.image, "image")),
    )


class Pictures(RenderedPictures):
    """Pictures of several proportions."""

    def load(self, item: int) -> Image.Image:
        return super().load(item).crop((0, 0, 30 - 9 * (item % 3), 21))


def made_up_images(checkpoint: SmallCheckpoint, number: int) -> ImageBatch | PatchBatch:
    """Random pixels of the size, or of the grids, that a checkpoint takes."""
    generator, colours = torch.Generator().manual_seed(5), (0.5,) * 3
    if not checkpoint.family.pads_patches:
        pixels = torch.randint(0, 256, (number, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
        return ImageBatch(pixels=pixels, mean=colours, std=colours)
    pixels = torch.randint(0, 256, (number, MOST_PATCHES, 8 * 8 * 3), generator=generator, dtype=torch.uint8)
    grids = torch.tensor([[2, 3], [1, 2], [3, 2], [1, 5]]).repeat(number, 1)[:number]
    return PatchBatch(pixels=pixels, grids=grids, mean=colours, std=colours)


def load_batch(pair: TowerPair) -> ItemBatch:
    """Return all titles and images as the towers ask."""
    return load_content(pair).batch(np.arange(len(TITLES)))


def load_content(pair: TowerPair) -> ItemContent:
    """Tokenise the titles and transform the images as the towers ask."""
    random = np.random.default_rng(0)
    pictures = Pictures(random.integers(0, 256, (len(TITLES), 21, 30, 3), dtype=np.uint8))
    return ItemContent(
        by_tower={
            name: part.tokenise(TITLES)
            if isinstance(part, PretrainedText)
            else Pixels(pictures, part.transform(), keep_bytes=0)
            for name, part in pair.encoders.items()
        }
    )


def save_checkpoint(folder: Path, name: str) -> Saved:
    """Save a checkpoint with lively weights: as initialised, norms and biases do nothing."""
    checkpoint = CHECKPOINTS[name]
    model = _build(checkpoint)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    model.save_pretrained(folder)
    if checkpoint.modality == "text" or checkpoint.pair:
        small_tokenizer(checkpoint.family).save_pretrained(folder)
        _name_tokenizer_class(folder, checkpoint.model_type)
    if checkpoint.modality == "image" or checkpoint.pair:
        (folder / "preprocessor_config.json").write_text(json.dumps(small_processor(checkpoint)))
    encoder = model if checkpoint.pair is None else model.get_submodule(_HALVES[checkpoint.modality][1])
    dense = save_modules(folder, (WIDTH, *checkpoint.dense, WIDTH)) if checkpoint.dense else ()
    return Saved(name=name, folder=folder, checkpoint=checkpoint, reference=encoder.eval(), dense=dense)


def save_modules(folder: Path, widths: tuple[int, ...], pooling: dict[str, Any] | None = None) -> tuple[Tensor, ...]:
    """Save what follows the encoder in a checkpoint of sentence-transformers, as EmbeddingGemma's are saved."""
    kinds = ["Transformer", "Pooling", *["Dense"] * (len(widths) - 1), "Normalize"]
    paths = [f"{place}_{kind}" if place else "" for place, kind in enumerate(kinds)]
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(zip(paths, kinds, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    settings = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "include_prompt": True}
    save_settings(folder / "1_Pooling", {"word_embedding_dimension": WIDTH, **(pooling or settings)})
    generator = torch.Generator().manual_seed(7)
    weights = tuple(torch.randn(end, start, generator=generator) / start**0.5 for start, end in pairwise(widths))
    for path, weight in zip(paths[2:-1], weights, strict=True):
        sizes = {"in_features": weight.shape[1], "out_features": weight.shape[0], "bias": False}
        save_settings(folder / path, sizes | {"activation_function": "torch.nn.modules.linear.Identity"})
        save_file({"linear.weight": weight}, folder / path / "model.safetensors")
    return weights


def save_settings(folder: Path, settings: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))


def _build(checkpoint: SmallCheckpoint) -> PreTrainedModel:
    torch.manual_seed(0)
    if checkpoint.pair is None:
        model_class, config = checkpoint.family.model, AutoConfig.for_model(**checkpoint.architecture())
    else:
        halves = {"text_config": TEXT_HALF, "vision_config": _IMAGE_HALVES[checkpoint.pair]}
        model_class, config = _PAIR_MODELS[checkpoint.pair], AutoConfig.for_model(checkpoint.pair, **halves)
    model: PreTrainedModel = getattr(transformers, model_class)(config)
    return model


def small_tokenizer(family: Family) -> PreTrainedTokenizerFast:
    """Whole words between two special tokens, as BERT's and CLIP's have; RoBERTa's padding is token 1."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    if family.num_reserved_positions:
        special[:2] = ["[UNK]", "[PAD]"]
    tokens = {token: place for place, token in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, tokens[token]) for token in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def _name_tokenizer_class(folder: Path, model_type: str) -> None:
    """Name the class that published checkpoints of SigLIP name; it cannot be had without sentencepiece."""
    if model_type.startswith("siglip"):
        file = folder / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"tokenizer_class": "SiglipTokenizer"}))


def small_processor(checkpoint: SmallCheckpoint) -> dict[str, Any]:
    """What a published checkpoint's file says, for images of the small size."""
    sizes = {
        "size": {"shortest_edge": SIDE + 4},
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
    }
    return {
        "do_resize": True,
        **({"patch_size": 8, "max_num_patches": MOST_PATCHES} if checkpoint.family.pads_patches else sizes),
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.3, 0.4],
    }


def put_into(cache: Path, name: str, folder: Path) -> Path:
    """Lay a checkpoint out as the hub's client does."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return snapshot
