"""The project's own modules against outputs of the published IISAN code, for every file of `--parity-dir`.

Each file carries inputs, weights, outputs and, as metadata, its settings; nothing here knows a file by name.
"""

import ast
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from peftrec.evaluation.metrics import ranking_metrics
from peftrec.evaluation.ranking import Histories, rank_targets
from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss
from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.models.side_networks.side_alignment import StateAlignment
from peftrec.models.side_networks.side_network import BlockBuilder, SideBlock, SideNetwork, SideTower
from peftrec.models.towers.names import FIRST
from peftrec.user_encoders.sasrec import SASRec

TOLERANCE = 1e-5


class Case:
    """One file: settings and tensors."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, "pt") as file:  # type: ignore[no-untyped-call]
            self.settings: dict[str, str] = file.metadata()
            self.tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def below(self, prefix: str) -> dict[str, Tensor]:
        start = prefix + "."
        return {key.removeprefix(start): tensor for key, tensor in self.tensors.items() if key.startswith(start)}


def parity_files(config: pytest.Config) -> list[Path]:
    """Return the files of all folders that are named.

    Raises UsageError for a folder without any.
    """
    files: list[Path] = []
    for folder in config.getoption("--parity-dir"):
        found = sorted(Path(folder).glob("*.safetensors"))
        if not found:
            raise pytest.UsageError(f"--parity-dir {folder}: there is no .safetensors file in it")
        files += found
    return files


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    files = parity_files(metafunc.config)
    marks = [pytest.param(None, marks=pytest.mark.skip(reason="no parity files; name a folder with --parity-dir"))]
    metafunc.parametrize("path", files or marks, ids=lambda path: path.stem if path else "none")


def test_agrees_with_the_published_code(path: Path) -> None:
    case = Case(path)
    checks = {
        "iisan": check_side_network,
        "iisan_versa": check_side_network_of_unequal_towers,
        "sequence_encoder": check_sequence_encoder,
        "in_batch_debiased_cross_entropy": check_loss,
        "full_ranking_metrics": check_metrics,
    }
    assert case.settings["case"] in checks, f"{path.name}: unknown case {case.settings['case']!r}"
    with torch.no_grad():
        checks[case.settings["case"]](case)


def assert_close(found: Tensor, expected: Tensor) -> None:
    """The agreement asked for: relative to the largest output."""
    assert found.shape == expected.shape
    bound = TOLERANCE * max(1.0, float(expected.abs().max()))
    assert float((found - expected).abs().max()) <= bound


def copy_into(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Fill every parameter; a weight too many or too few fails."""
    module.load_state_dict(weights, strict=True)


def check_side_network(case: Case) -> None:
    indices: list[int] = ast.literal_eval(case.settings["hidden_state_indices"])
    starts_from_embedding = case.settings["first_state"].startswith("embedding")
    embedding_dim = int(case.settings["embedding_dim"])
    branches = {name: side_tower(case, name) for name in ("image", "text", "inter") if case.below(name)}
    network = SideNetwork(branches, embedding_dim=embedding_dim, starts_from_embedding=starts_from_embedding)  # type: ignore[arg-type]
    copy_into(network.fusion, case.below("fusion"))
    read = [0, *indices] if starts_from_embedding else indices
    states = {
        name: case[f"input.{name}_hidden_states"][:, read]
        for name in ("image", "text")
        if f"input.{name}_hidden_states" in case.tensors
    }
    for name, embedding in network.embed_branches(states).items():  # type: ignore[arg-type]
        assert_close(embedding, case[f"output.{name}"])
    assert_close(network(states), case["output.item_embedding"])


def block_builder(case: Case, bottleneck: int) -> BlockBuilder:
    return partial(SideBlock, bottleneck=bottleneck, activation=case.settings["activation"])  # type: ignore[arg-type]


def side_tower(case: Case, name: str) -> SideTower:
    weights = dict(renamed(case.below(name)))
    tower = SideTower(
        int(case.settings["hidden_size"]),
        num_blocks=sum(key.endswith("down.weight") for key in weights),
        block=block_builder(case, int(case.settings["bottleneck"])),
        embedding_dim=int(case.settings["embedding_dim"]),
        mixing=case.settings["fusion"],  # type: ignore[arg-type]
    )
    if tower.gates is None:
        weights.pop("gates", None)  # plain sums have no gates
    copy_into(tower, weights)
    return tower


def renamed(weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """`block3.down.weight` is called `blocks.3.down.weight` here."""
    for key, tensor in weights.items():
        block, _, rest = key.partition(".")
        yield (f"blocks.{block.removeprefix('block')}.{rest}" if block.startswith("block") else key), tensor


def check_side_network_of_unequal_towers(case: Case) -> None:
    """Widths, depths and bottlenecks are read off the weights; the files state which states are read."""
    present = [name for name in FIRST if f"input.{name}_hidden_states" in case.tensors]
    states = {
        name: case[f"input.{name}_hidden_states"][:, ast.literal_eval(case.settings[f"{name}_hidden_state_indices"])]
        for name in present
    }
    layers = len({key.split(".")[0] for key in case.below("align")})
    widths = {name: tensor.shape[2] for name, tensor in states.items()}
    alignment = StateAlignment(widths, num_steps=layers) if layers else None
    if alignment is not None:
        copy_into(alignment.steps, case.below("align"))
    network = SideNetwork(
        {name: tower_of_any_width(case, name) for name in ("image", "text", "inter") if case.below(name)},  # type: ignore[misc]
        embedding_dim=case["fusion.weight"].shape[0],
        alignment=alignment,
    )
    copy_into(network.fusion, case.below("fusion"))
    for name, embedding in network.embed_branches(states).items():
        assert_close(embedding, case[f"output.{name}"])
    assert_close(network(states), case["output.item_embedding"])


def tower_of_any_width(case: Case, name: str) -> SideTower:
    weights = dict(renamed(case.below(name)))
    bottleneck, hidden = weights["blocks.0.down.weight"].shape
    embedding_dim, out_dim = weights["project.weight"].shape
    tower = SideTower(
        hidden,
        num_blocks=sum(key.endswith("down.weight") for key in weights),
        block=block_builder(case, bottleneck),
        embedding_dim=embedding_dim,
        out_dim=out_dim,
    )
    copy_into(tower, weights)
    return tower


def check_sequence_encoder(case: Case) -> None:
    embeddings, mask = case["input.embeddings"], case["input.mask"].bool()
    num_blocks = len({key.split(".")[0] for key in case.tensors if key.startswith("block")})
    widening = case["block0.feed_forward.up.weight"].shape[0] // embeddings.shape[2]
    encoder = SASRec(num_blocks=num_blocks, num_heads=int(case.settings["heads"]), widening=widening).build(
        dim=embeddings.shape[2], sequence_length=embeddings.shape[1]
    )
    names = {"q.": "query.", "k.": "key.", "v.": "value."}
    weights: dict[str, Tensor] = {}
    for key, tensor in case.tensors.items():
        if key.startswith(("input.", "output.")):
            continue
        block, _, rest = key.partition(".")
        if not block.startswith("block"):
            weights[key] = tensor
            continue
        part, _, name = rest.partition(".")
        ours = next((new + name.removeprefix(old) for old, new in names.items() if name.startswith(old)), name)
        weights[f"blocks.{block.removeprefix('block')}.{part}.{ours}"] = tensor
    copy_into(encoder, weights)
    states = encoder.eval()(embeddings, mask)
    assert_close(states[mask], case["output.states"][mask])


def check_loss(case: Case) -> None:
    item_ids = case["input.item_ids"].long()
    mask = item_ids != 0
    assert torch.equal(mask[:, :-1], case["input.mask"].bool())
    distinct, inverse = item_ids[mask].unique(return_inverse=True)
    sequences = torch.zeros_like(item_ids)
    sequences[mask] = inverse
    embeddings = torch.empty(len(distinct), case["input.item_embeddings"].shape[-1])
    embeddings[inverse] = case["input.item_embeddings"].reshape(*item_ids.shape, -1)[mask]
    loss = DebiasedCrossEntropyLoss()(
        ObjectiveInputs(
            states=case["input.sequence_states"],
            embeddings=embeddings,
            sequences=sequences,
            mask=mask,
            log_popularity=case["input.popularity"][distinct].log(),
        )
    )
    expected = case["output.loss"].item()
    assert loss.item() == pytest.approx(expected, rel=TOLERANCE)


def check_metrics(case: Case) -> None:
    cutoff = int(case.settings["k"])
    scores = case["input.scores"][:, 1:].clone()  # column 0 is padding, which is no candidate here
    history = case["input.history"].long()
    users, places = torch.nonzero(history, as_tuple=True)
    seen = Histories(users=users, items=history[users, places] - 1)
    ranked = rank_targets(scores, case["input.target"].long() - 1, seen, "all")
    assert not ranked.is_unreachable.any()
    for user, rank in enumerate(ranked.ranks.numpy()):
        metrics = ranking_metrics(np.array([rank]), np.array([False]))
        assert metrics[f"hr@{cutoff}"] == case["output.hit"][user].item()
        assert metrics[f"ndcg@{cutoff}"] == pytest.approx(case["output.ndcg"][user].item(), abs=1e-6)
