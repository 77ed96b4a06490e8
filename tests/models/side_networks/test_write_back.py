"""DTL against a literal loop over a tower's own blocks: values, gradients, and where there are none."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from peftrec.data.batches import TextBatch
from peftrec.errors import SettingsError
from peftrec.models.side_networks.write_back import WriteBack
from peftrec.models.towers.names import Modality
from peftrec.models.towers.tower import Tower
from small_models import SMALL_PAIRS, item_batch

RANK, FIRST_WRITTEN, SHARPNESS, KERNEL = 3, 2, 5.0, 3


def tower_of(modality: Modality) -> Tower:
    towers = SMALL_PAIRS[f"{modality}_only"].load(seed=0).requires_grad_(False).eval()
    return towers.present()[modality].double()


def beside(tower: Tower, *, kernel: int = 0) -> WriteBack:
    network = WriteBack(
        tower.width,
        num_blocks=tower.num_blocks,
        rank=RANK,
        first_written=FIRST_WRITTEN,
        sharpness=SHARPNESS,
        num_prefix_tokens=tower.family.num_prefix_tokens,
    )
    if kernel:
        network.fuse_patches(tower.width, kernel=kernel)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network.double()


def inputs_of(modality: Modality) -> Any:
    return item_batch(4, SMALL_PAIRS[f"{modality}_only"]).content(modality)


def literal_convolution(weight: Tensor, patches: Tensor) -> Tensor:
    """Pass patches [item, patch, hidden] through a depth-wise convolution, sum by sum."""
    side = int(patches.shape[1] ** 0.5)
    grid = patches.reshape(len(patches), side, side, -1)
    out = torch.zeros_like(grid)
    reach = KERNEL // 2
    for row in range(side):
        for column in range(side):
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    if 0 <= row + down < side and 0 <= column + right < side:
                        factor = weight[:, 0, down + reach, right + reach]
                        out[:, row, column] += factor * grid[:, row + down, column + right]
    return out.reshape(patches.shape)


def literal(tower: Tower, network: WriteBack, inputs: Any) -> Tensor:
    """The published loop; what enters and leaves the blocks is taken from the tower, one block further each time."""
    entering: dict[int, Tensor] = {}
    adds: dict[int, Tensor] = {}
    r: Tensor | float = 0.0
    for k in range(tower.num_blocks):

        def put(place: int, tokens: Tensor) -> Tensor | None:
            return tokens + adds[place] if place in adds else None

        with tower.visiting(on_input=entering.__setitem__, on_output=put):
            tower(inputs)
        r = r + entering[k] @ network.down[k].weight.T @ network.up[k].weight.T
        if k >= FIRST_WRITTEN:
            active = r * (1 / (1 + torch.exp(-SHARPNESS * r)))
            if network.fusion is not None:
                prefix = tower.family.num_prefix_tokens
                fused = literal_convolution(network.fusion.weight, active[:, prefix:])
                active = torch.cat([active[:, :prefix], fused], dim=1)
            adds[k] = active

    def put_all(place: int, tokens: Tensor) -> Tensor | None:
        return tokens + adds[place] if place in adds else None

    with tower.visiting(on_output=put_all):
        return tower(inputs)


@pytest.mark.parametrize(("modality", "kernel"), [("text", 0), ("image", 0), ("image", KERNEL)])
def test_it_computes_the_equations_and_their_gradients(modality: Modality, kernel: int) -> None:
    tower = tower_of(modality)
    network, inputs = beside(tower, kernel=kernel), inputs_of(modality)
    ours, theirs = network(tower, inputs), literal(tower, network, inputs)
    assert not torch.allclose(ours, tower(inputs), atol=1e-3)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    parameters = list(network.parameters())
    for one, other in zip(
        torch.autograd.grad(ours.square().sum(), parameters),
        torch.autograd.grad(theirs.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
        assert one.abs().sum() > 0


def test_no_gradient_enters_the_blocks_below_the_first_that_is_written_to() -> None:
    tower, inputs = tower_of("text"), inputs_of("text")
    needs: dict[int, bool] = {}
    with tower.visiting(on_input=lambda place, tokens: needs.__setitem__(place, tokens.requires_grad)):
        beside(tower)(tower, inputs)
    assert needs == {place: place > FIRST_WRITTEN for place in range(tower.num_blocks)}


def test_padding_decides_nothing() -> None:
    tower, inputs = tower_of("text"), inputs_of("text")
    longer = TextBatch(
        token_ids=nn.functional.pad(inputs.token_ids, (0, 3), value=1), mask=nn.functional.pad(inputs.mask, (0, 3))
    )
    network = beside(tower)
    torch.testing.assert_close(network(tower, longer), network(tower, inputs), rtol=1e-9, atol=1e-9)


def test_patches_that_are_no_square_are_refused() -> None:
    network = beside(tower_of("image"), kernel=KERNEL)
    with pytest.raises(SettingsError, match=r"strategy\.fusion: 6 patches are no square"):
        network.written(torch.ones(1, 7, network.up[0].out_features, dtype=torch.float64))


@pytest.mark.parametrize("modality", ["text", "image"])
def test_it_starts_as_the_tower(modality: Modality) -> None:
    tower = tower_of(modality)
    network = WriteBack(tower.width, num_blocks=tower.num_blocks, rank=2, first_written=0, sharpness=100.0).double()
    assert isinstance(network.up[0], nn.Linear)
    assert torch.equal(network(tower, inputs_of(modality)), tower(inputs_of(modality)))
