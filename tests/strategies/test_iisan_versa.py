"""Unequal towers: which states are read, exact parameter counts, and the same training live and stored."""

import pytest
import torch
from torch import Tensor

from peftrec.config.folder import config_directory
from peftrec.data.batches import ItemBatch
from peftrec.errors import SettingsError
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.models.side_networks.side_network import SideNetwork, SideTower
from peftrec.models.towers.names import Modality
from peftrec.strategies.iisan import IISAN
from peftrec.strategies.iisan_versa import IISANVersa
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from small_models import (
    BASE_SHAPE,
    IMAGE,
    SIDE,
    SMALL,
    SMALL_PAIRS,
    TEXT,
    VOCABULARY,
    WIDTH,
    build_strategy,
    item_batch,
)

DIM, NUM_ITEMS, WIDER = 8, 10, WIDTH + 8


def text_of(*, width: int = WIDTH, depth: int = 4) -> PretrainedText:
    shape = {**SMALL, "hidden_size": width, "num_hidden_layers": depth}
    return PretrainedText(architecture={"model_type": "bert", "vocab_size": VOCABULARY, **shape}, random_init=True)


def image_of(*, width: int = WIDTH, depth: int = 4) -> PretrainedImage:
    shape = {**SMALL, "hidden_size": width, "num_hidden_layers": depth}
    architecture = {"model_type": "vit", "image_size": SIDE, "patch_size": 8, **shape}
    return PretrainedImage(architecture=architecture, random_init=True)


UNEQUAL = {
    "wider_and_deeper_text": TowerPair(text=text_of(width=WIDER, depth=9), image=IMAGE),
    "wider_image": TowerPair(text=TEXT, image=image_of(width=WIDER)),
    "deeper_image": TowerPair(text=TEXT, image=image_of(depth=5)),
    **SMALL_PAIRS,
}


def encoder(strategy: IISANVersa | IISAN, pair: TowerPair, *, seed: int = 0) -> FrozenStatesEncoder:
    towers = pair.load(seed=0, with_weights=strategy.states == "live")
    torch.manual_seed(seed)
    built = strategy.adapt(towers, embedding_dim=DIM, num_items=NUM_ITEMS)
    assert isinstance(built, FrozenStatesEncoder)
    return built


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def trainable(built: FrozenStatesEncoder) -> int:
    return sum(parameter.numel() for parameter in built.parameters() if parameter.requires_grad)


def counted(
    widths: dict[str, int], blocks: dict[str, int], bottlenecks: dict[str, int], *, dim: int, gate: int = 1
) -> int:
    """Return the parameters of all branches from the paper's arithmetic."""
    total = 0
    for name in ("image", "text"):
        block = linear(widths[name], bottlenecks[name]) + linear(bottlenecks[name], widths[name]) + gate
        total += blocks[name] * block + linear(widths[name], dim) + linear(dim, dim)
    narrow, wide, pairs = min(widths.values()), max(widths.values()), min(blocks.values())
    total += pairs * (linear(narrow, bottlenecks["inter"]) + linear(bottlenecks["inter"], narrow) + gate)
    total += linear(narrow, narrow) + linear(narrow, dim)
    total += pairs * linear(wide, narrow) if wide > narrow else 0
    return total + linear(3 * dim, dim)


def test_parameters_at_the_papers_shape() -> None:
    """BERT-base and ViT-B/16 (IISAN-VS): IISAN's 4,013,653 item-side parameters, with the two small heads."""
    strategy = build_strategy(config_directory() / "strategy" / "iisan_versa.yaml")
    built = strategy.adapt(BASE_SHAPE.load(seed=0, with_weights=False), embedding_dim=64, num_items=4)
    assert isinstance(built, FrozenStatesEncoder)
    both = {"image": 768, "text": 768}
    bottlenecks = dict.fromkeys(("image", "text", "inter"), 64)
    formula = counted(both, {"image": 7, "text": 7}, bottlenecks, dim=64)
    assert trainable(built) == formula == 4_113_877 - 100_224 - 2 * (linear(768, 768) - linear(64, 64))
    assert built.indices == dict.fromkeys(("image", "text"), (0, 2, 4, 6, 8, 10, 12))


def test_parameters_of_a_large_text_tower() -> None:
    """BERT-large and ViT-B/16 (IISAN-VA), in shapes alone."""
    large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    text = PretrainedText(architecture={"model_type": "bert", **large}, random_init=True)
    towers = TowerPair(text=text, image=BASE_SHAPE.image).load(seed=0, with_weights=False)
    built = IISANVersa(states="store").adapt(towers, embedding_dim=64, num_items=4)
    assert isinstance(built, FrozenStatesEncoder)
    assert built.indices == {"image": (0, 2, 4, 6, 8, 10, 12), "text": (0, 4, 8, 12, 16, 20, 24)}
    bottlenecks = dict.fromkeys(("image", "text", "inter"), 64)
    formula = counted({"image": 768, "text": 1024}, {"image": 7, "text": 7}, bottlenecks, dim=64)
    assert trainable(built) == formula


@pytest.mark.parametrize("mixing", ["gated", "add"])
@pytest.mark.parametrize("starts", [False, True])
def test_parameters_of_unequal_towers(mixing: str, starts: bool) -> None:
    """The wider text tower gives 7 states, the image tower all 5 of its own."""
    strategy = IISANVersa(
        text_bottleneck=3,
        image_bottleneck=5,
        mixing=mixing,  # type: ignore[arg-type]
        starts_from_embedding=starts,
    )
    built = encoder(strategy, UNEQUAL["wider_and_deeper_text"])
    assert built.indices == {"image": (0, 1, 2, 3, 4), "text": (0, 4, 5, 6, 7, 8, 9)}
    blocks = {"image": 5 - int(starts), "text": 7 - int(starts)}
    bottlenecks = {"text": 3, "image": 5, "inter": 5}  # the narrower tower's
    formula = counted({"image": WIDTH, "text": WIDER}, blocks, bottlenecks, dim=DIM, gate=int(mixing == "gated"))
    assert trainable(built) == formula


@pytest.mark.parametrize(
    ("pair", "inter", "expected"),
    [
        ("wider_and_deeper_text", None, 5),
        ("wider_image", None, 3),
        ("deeper_image", None, 3),
        ("wider_image", 11, 11),
    ],
)
def test_the_inter_branch_takes_the_narrower_towers_bottleneck(pair: str, inter: int | None, expected: int) -> None:
    strategy = IISANVersa(text_bottleneck=3, image_bottleneck=5, inter_bottleneck=inter)
    network = encoder(strategy, UNEQUAL[pair]).network
    assert isinstance(network, SideNetwork)
    towers = {name: tower for name, tower in network.branches.items() if isinstance(tower, SideTower)}
    sizes = {name: next(tower.blocks.parameters()).shape[0] for name, tower in towers.items()}
    assert sizes == {"image": 5, "text": 3, "inter": expected}


def test_a_tower_of_its_own_layers() -> None:
    built = encoder(IISANVersa(text_layers=(2, 9), num_groups=2), UNEQUAL["wider_and_deeper_text"])
    assert built.indices == {"image": (0, 2, 4), "text": (2, 9)}
    network = built.network
    assert isinstance(network, SideNetwork)
    assert network.alignment is not None
    assert len(network.alignment.steps) == 2


@pytest.mark.parametrize(
    ("changes", "pair", "message"),
    [
        ({"text_layers": (0, 10)}, "wider_and_deeper_text", r"strategy\.text_layers.*between 0 and 9"),
        ({"image_layers": ()}, "wider_and_deeper_text", r"strategy\.image_layers.*between 0 and 4"),
        ({"image_layers": (0, 1)}, "text_only", r"strategy\.image_layers: there is no image tower"),
        ({"branches": "inter"}, "image_only", "use intra"),
    ],
)
def test_what_the_towers_do_not_have_is_refused(changes: dict[str, object], pair: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        encoder(IISANVersa(**changes), UNEQUAL[pair])  # type: ignore[arg-type]


class StatesOnce:
    """A float32 store in memory."""

    def __init__(self, states: dict[Modality, Tensor]) -> None:
        self.states = states
        self.scales: dict[Modality, Tensor] = {}

    def read(self, items: Tensor) -> dict[Modality, Tensor]:
        return {name: states[items] for name, states in self.states.items()}


def train(built: FrozenStatesEncoder, batch: ItemBatch) -> Tensor:
    """Take three steps and return the embeddings."""
    optimizer = torch.optim.Adam([p for p in built.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        (built(batch) * torch.arange(1, DIM + 1)).square().mean().backward()
        optimizer.step()
    return built(batch).detach()


@pytest.mark.parametrize("pair", UNEQUAL)
def test_stored_and_live_states_train_alike(pair: str) -> None:
    live = encoder(IISANVersa(states="live"), UNEQUAL[pair])
    stored = encoder(IISANVersa(states="store"), UNEQUAL[pair])
    batch = item_batch(NUM_ITEMS, UNEQUAL[pair])
    live.eval()
    with torch.no_grad():
        stored.read_from(StatesOnce(live.towers.states(batch, live.indices)))
    found, expected = train(stored, batch), train(live, batch)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("branches", ["intra_inter", "intra", "inter"])
@pytest.mark.parametrize("pair", [name for name in UNEQUAL if name not in ("text_only", "image_only")])
def test_every_parameter_moves(pair: str, branches: str) -> None:
    built = encoder(IISANVersa(branches=branches), UNEQUAL[pair]).eval()  # type: ignore[arg-type]
    before = {name: parameter.detach().clone() for name, parameter in built.named_parameters()}
    train(built, item_batch(NUM_ITEMS, UNEQUAL[pair]))
    moved = {name for name, parameter in built.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name, parameter in built.named_parameters() if parameter.requires_grad}
    assert moved


@pytest.mark.parametrize("mixing", ["gated", "add"])
@pytest.mark.parametrize("starts", [False, True])
def test_on_equal_towers_it_is_iisan_with_smaller_heads(mixing: str, starts: bool) -> None:
    """IISAN's heads, filled with the small ones and zeros, compute the same."""
    common = {"mixing": mixing, "starts_from_embedding": starts}
    versa = encoder(IISANVersa(text_layers=(0, 2, 4), image_layers=(0, 2, 4), **common), SMALL_PAIRS["text_and_image"])  # type: ignore[arg-type]
    iisan = encoder(IISAN(**common), SMALL_PAIRS["text_and_image"], seed=1)  # type: ignore[arg-type]
    assert versa.indices == iisan.indices
    weights = dict(versa.network.named_parameters())
    with torch.no_grad():
        for name, parameter in iisan.network.named_parameters():
            source = weights[name]
            if source.shape != parameter.shape:
                parameter.zero_()
            parameter[tuple(slice(size) for size in source.shape)] = source
    batch = item_batch(NUM_ITEMS, SMALL_PAIRS["text_and_image"])
    torch.testing.assert_close(versa.eval()(batch), iisan.eval()(batch), rtol=1e-5, atol=1e-6)


def test_iisan_names_it_where_towers_differ() -> None:
    for pair in ("wider_image", "deeper_image"):
        with pytest.raises(SettingsError, match="take strategy=iisan_versa"):
            encoder(IISAN(), UNEQUAL[pair])
