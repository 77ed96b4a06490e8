"""Parallel adapters read what a sublayer reads and add to what it gives."""

import torch

from peftrec.models.side_networks.adapters import BesideSublayer, EndOfSublayer
from peftrec.models.towers.towers import Towers
from peftrec.strategies.parallel_adapter import ParallelAdapter
from peftrec.training.trainer import checkpoint_activations
from small_models import NUM_BLOCKS, SMALL_PAIRS, item_batch

PAIR = SMALL_PAIRS["text_and_image"]


def adapted(**changes: object) -> Towers:
    torch.manual_seed(0)
    return ParallelAdapter(**changes).adapt(PAIR.load(seed=1), embedding_dim=8, num_items=4).towers.eval()  # type: ignore[arg-type]


def paths(towers: Towers, kind: type, modality: str) -> set[str]:
    encoder = getattr(towers, modality).encoder
    return {path for path, part in encoder.named_modules() if isinstance(part, kind)}


def test_both_ends_of_every_feed_forward_network_are_wrapped() -> None:
    towers = adapted()
    for name, tower in PAIR.load(seed=1).present().items():
        assert paths(towers, BesideSublayer, name) == set(tower.site_paths("ffn_input"))
        assert paths(towers, EndOfSublayer, name) == set(tower.site_paths("ffn_output"))
        assert len(paths(towers, BesideSublayer, name)) == NUM_BLOCKS


def test_attention_and_feed_forward_network_at_once() -> None:
    towers = adapted(sublayers=("attention", "ffn"))
    for name, tower in PAIR.load(seed=1).present().items():
        assert paths(towers, BesideSublayer, name) == set(tower.paths_of(("query", "ffn_input")))
        assert paths(towers, EndOfSublayer, name) == set(tower.paths_of(("attention_output", "ffn_output")))


def test_the_adapter_reads_the_sublayers_input_and_not_the_inner_one() -> None:
    """He et al., their eq. for the parallel form: h = FFN(x) + s f(x W_down) W_up, seen at one block's two ends."""
    towers = adapted(bottleneck=3, scale=2.0)
    plain = PAIR.load(seed=1)
    batch = item_batch(5, PAIR)
    for name, tower in towers.present().items():
        (start, *_), (end, *_) = (plain.present()[name].site_paths(site) for site in ("ffn_input", "ffn_output"))
        beside = tower.encoder.get_submodule(start)
        assert isinstance(beside, BesideSublayer)
        with torch.no_grad():
            beside.up.weight.normal_()
            beside.up.bias.normal_()
        seen: dict[str, torch.Tensor] = {}
        for path in (start, end):
            tower.encoder.get_submodule(path).register_forward_hook(
                lambda _, inputs, output, path=path, seen=seen: seen.update({f"{path} in": inputs[0], path: output})
            )
        tower(batch.content(name))
        states = seen[f"{start} in"]
        inner = torch.relu(states @ beside.down.weight.T + beside.down.bias)
        expected = tower.encoder.get_submodule(f"{end}.layer")(seen[f"{end} in"])
        expected = expected + 2.0 * (inner @ beside.up.weight.T + beside.up.bias)
        torch.testing.assert_close(seen[end], expected)


def test_nothing_of_one_batch_is_left_for_the_next() -> None:
    towers = adapted()
    towers(item_batch(5, PAIR))
    assert all(part._part is None for part in towers.modules() if isinstance(part, BesideSublayer))


def test_blocks_that_are_computed_again_give_the_same_gradients() -> None:
    batch = item_batch(5, PAIR)
    gradients = []
    for checkpoints in (False, True):
        towers = adapted(sublayers=("attention", "ffn"))
        if checkpoints:
            checkpoint_activations(towers)
        torch.manual_seed(0)
        sum(vectors.square().sum() for vectors in towers.train()(batch).values()).backward()  # type: ignore[union-attr]
        gradients.append({name: p.grad for name, p in towers.named_parameters() if p.requires_grad})
    assert all(torch.equal(gradient, gradients[1][name]) for name, gradient in gradients[0].items())  # type: ignore[arg-type]
