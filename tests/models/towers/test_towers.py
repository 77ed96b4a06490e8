"""Towers of every supported family, against transformers' own hidden states on small lively checkpoints."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from packed_vision import packed_outputs
from peftrec.data.batches import ImageBatch, ItemBatch, PatchBatch, TextBatch
from peftrec.errors import SettingsError
from peftrec.models.towers.families import FAMILIES, PAIRS
from peftrec.models.towers.names import OUTPUT, Pooling
from peftrec.models.towers.towers import Towers
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from peftrec.training.trainer import checkpoint_activations
from small_families import (
    CHECKPOINTS,
    FFN,
    NUM_BLOCKS,
    PATCHES,
    SAVED,
    SIDE,
    VOCABULARY,
    WIDTH,
    Saved,
    made_up_images,
    save_checkpoint,
)

LENGTHS = [9, 2, 5, 7]
DROPS = {"bert", "roberta", "xlm-roberta", "distilbert", "deberta-v2"}
"""Families whose config has dropout unless it is told otherwise."""


@pytest.fixture(scope="module", params=SAVED)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return save_checkpoint(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return save_checkpoint(tmp_path_factory.mktemp("vit"), "vit")


def inputs_for(saved: Saved) -> TextBatch | ImageBatch | PatchBatch:
    """Four items; titles end in [SEP] and are padded on the right."""
    if saved.modality == "image":
        return made_up_images(saved.checkpoint, len(LENGTHS))
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor(LENGTHS)[:, None]
    places = torch.arange(max(LENGTHS))
    token_ids = torch.randint(4, VOCABULARY, (len(LENGTHS), max(LENGTHS)), generator=generator)
    token_ids = token_ids.masked_fill(places == lengths - 1, 3)
    mask = places < lengths
    padding_id = saved.reference.config.pad_token_id
    return TextBatch(token_ids=token_ids.masked_fill(~mask, padding_id), mask=mask)


def reference_outputs(saved: Saved, inputs: TextBatch | ImageBatch | PatchBatch) -> Any:
    """What transformers' encoder says; DINOv2's table of positions is resampled in its every forward pass."""
    with torch.no_grad():
        if isinstance(inputs, TextBatch):
            mask = inputs.mask.long()
            outputs = saved.reference(input_ids=inputs.token_ids, attention_mask=mask, output_hidden_states=True)
            return with_last_state(saved, outputs, inputs.token_ids, mask)
        if isinstance(inputs, PatchBatch):
            pixels, mask = inputs.normalised(torch.float32), inputs.mask.long()
            shapes = {"pixel_attention_mask": mask, "spatial_shapes": inputs.grids}
            return saved.reference(pixel_values=pixels, **shapes, output_hidden_states=True)
        if saved.checkpoint.family.is_packed:
            return packed_outputs(saved.reference, inputs)
        return saved.reference(pixel_values=inputs.normalised(torch.float32), output_hidden_states=True)


def with_last_state(saved: Saved, outputs: Any, token_ids: Tensor, mask: Tensor) -> Any:
    """Some say in the place of their last state what their norm makes of it."""
    is_normed = torch.equal(outputs.hidden_states[-1], outputs.last_hidden_state)
    if saved.checkpoint.family.norm is None or not is_normed:
        return outputs
    seen: list[Tensor] = []
    norm = saved.reference.get_submodule(str(saved.checkpoint.family.norm))
    handle = norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    saved.reference(input_ids=token_ids, attention_mask=mask)
    handle.remove()
    outputs.hidden_states = (*outputs.hidden_states[:-1], *seen)
    return outputs


def reference_norm(saved: Saved, outputs: Any) -> Tensor:
    """The last state after the last norm, for every token."""
    norms = {
        "clip_vision_model": "post_layernorm",  # transformers norms its [CLS] alone
        "qwen2_5_vl_vision": "merger.ln_q",  # and these where the merger joins patches
        "qwen3_vl_vision": "merger.norm",
    }
    name = norms.get(saved.checkpoint.model_type)
    with torch.no_grad():
        last: Tensor = outputs.last_hidden_state
        return last if name is None else saved.reference.get_submodule(name)(last)


def pooled(states: Tensor, inputs: TextBatch | ImageBatch | PatchBatch, pooling: str) -> Tensor:
    if pooling == "cls":
        return states[:, 0]
    if isinstance(inputs, ImageBatch):
        return states[:, -(PATCHES if states.shape[1] < SIDE else SIDE) :].mean(1)  # patches of 8 pixels or of 4
    rows = [row[mask] for row, mask in zip(states, inputs.mask, strict=True)]
    return torch.stack([row[-1] if pooling == "last" else row.mean(0) for row in rows])


def test_every_family_is_tried_here() -> None:
    assert {checkpoint.model_type for checkpoint in CHECKPOINTS.values()} == set(FAMILIES)
    assert {(each.pair, each.modality) for each in CHECKPOINTS.values() if each.pair} == {
        (pair, modality) for pair in PAIRS for modality in ("text", "image")
    }
    assert {family.modality for family in FAMILIES.values()} == {"text", "image"}


def test_a_tower_knows_its_width_and_blocks(saved: Saved) -> None:
    tower = saved.load()
    assert (tower.width, tower.num_blocks, len(tower.blocks())) == (WIDTH, NUM_BLOCKS, NUM_BLOCKS)
    assert tower.pooling == saved.checkpoint.family.poolings[0]
    assert not tower.training
    assert not any(module.training for module in tower.modules())


def test_states_are_the_pooled_hidden_states(saved: Saved) -> None:
    inputs = inputs_for(saved)
    expected = reference_outputs(saved, inputs)
    normed = reference_norm(saved, expected)
    assert len(expected.hidden_states) == NUM_BLOCKS + 1
    indices = (2, OUTPUT, 0, NUM_BLOCKS, 1)
    for pooling in saved.checkpoint.family.poolings:
        tower = saved.load(pooling=pooling)
        with torch.no_grad():
            states = tower.states(inputs, indices)
            output = tower(inputs)
        assert states.shape == (4, len(indices), WIDTH)
        for place, index in enumerate(indices):
            state = normed if index == OUTPUT else expected.hidden_states[index]
            torch.testing.assert_close(states[:, place], pooled(state, inputs, pooling), rtol=0, atol=1e-5)
        torch.testing.assert_close(output, pooled(normed, inputs, pooling), rtol=0, atol=1e-5)
        assert_distinct(states, num_equal=int(tower.family.norm is None))


def test_token_states_are_the_hidden_states_of_all_tokens(saved: Saved) -> None:
    inputs, tower = inputs_for(saved), saved.load()
    expected = reference_outputs(saved, inputs)
    normed = reference_norm(saved, expected)
    indices = (2, OUTPUT, 0, NUM_BLOCKS)
    with torch.no_grad():
        found = tower.token_states(inputs, indices)
        states = tower.states(inputs, indices)
    assert tuple(found) == indices
    mask = tower.token_mask(inputs, normed.shape[1])
    assert mask.shape == normed.shape[:2]
    for place, index in enumerate(indices):
        state = normed if index == OUTPUT else expected.hidden_states[index]
        torch.testing.assert_close(found[index][mask], state[mask], rtol=0, atol=1e-5)
        vector = pooled(found[index], inputs, tower.pooling)
        expected_state = saved.vector(vector) if index == OUTPUT else vector
        torch.testing.assert_close(states[:, place], expected_state, rtol=0, atol=1e-5)


def test_who_visits_the_blocks_and_writes_nothing_changes_no_bit(saved: Saved) -> None:
    inputs, tower = inputs_for(saved), saved.load()
    entered: list[Tensor] = []
    left: list[Tensor] = []

    def enters(place: int, tokens: Tensor) -> None:
        assert place == len(entered) == len(left)
        entered.append(tokens)

    def leaves(place: int, tokens: Tensor) -> Tensor:
        assert place == len(left) == len(entered) - 1
        left.append(tokens)
        return tokens

    with torch.no_grad():
        expected = tower(inputs)
        with tower.visiting(on_input=enters, on_output=leaves):
            assert torch.equal(tower(inputs), expected)
        assert len(entered) == len(left) == NUM_BLOCKS
        assert torch.equal(tower(inputs), expected)
        states = tower.token_states(inputs, tuple(range(NUM_BLOCKS)))
    assert len(left) == NUM_BLOCKS, "nobody visits any more"
    assert all(torch.equal(entered[place], states[place]) for place in range(NUM_BLOCKS))
    has_convolution = bool(getattr(tower.encoder.config, "conv_kernel_size", 0))
    for place in range(NUM_BLOCKS - 1):
        is_passed_on = torch.equal(left[place], entered[place + 1])
        assert is_passed_on != (has_convolution and place == 0)


def test_what_is_written_back_to_a_block_is_what_it_reads(saved: Saved) -> None:
    """The last block's input alone decides the output, and the gradient of what is written is the output's."""
    inputs, tower = inputs_for(saved), saved.load().requires_grad_(False)
    last = NUM_BLOCKS - 1
    written = torch.randn(tower.token_states(inputs, (last,))[last].shape, generator=torch.Generator().manual_seed(3))
    written.requires_grad_()

    def write(place: int, tokens: Tensor) -> Tensor | None:
        return written if place == last else tokens * 7

    def write_beside(place: int, tokens: Tensor) -> Tensor | None:
        return written if place == last else None

    with tower.visiting(on_input=write):
        output = tower(inputs)
        seen = tower.token_states(inputs, (last,))[last]
    with tower.visiting(on_input=write_beside):
        assert torch.equal(tower(inputs), output)
    assert seen is written, "who reads a state reads what was written"
    assert not torch.allclose(output, tower(inputs), atol=1e-3)
    (gradient,) = torch.autograd.grad(output.square().sum(), written)
    assert gradient[tower.token_mask(inputs, written.shape[1])].abs().sum() > 0

    def add_one(_: int, tokens: Tensor) -> Tensor:
        return tokens + 1

    with tower.visiting(on_output=lambda place, tokens: add_one(place, tokens) if place == last - 1 else None):
        after = tower(inputs)
    with tower.visiting(on_input=lambda place, tokens: add_one(place, tokens) if place == last else None):
        assert torch.equal(tower(inputs), after), "what leaves a block enters the next"


def test_a_visit_that_fails_leaves_no_hook(vit: Saved) -> None:
    inputs, tower = inputs_for(vit), vit.load()
    expected = tower(inputs)

    def fail(place: int, tokens: Tensor) -> None:
        raise ArithmeticError(place)

    with pytest.raises(ArithmeticError), tower.visiting(on_input=fail, on_output=fail):
        tower(inputs)
    assert torch.equal(tower(inputs), expected)


def assert_distinct(states: Tensor, *, num_equal: int) -> None:
    """The output is another vector than the last state only where a norm stands between."""
    apart = torch.pdist(states.transpose(0, 1).flatten(1)) > 1e-3
    assert int((~apart).sum()) == num_equal


def test_the_output_is_what_the_familys_own_head_reads(saved: Saved) -> None:
    """CLIP and DINOv2 pool as their family's default does; SigLIP's text head stands on the same vector."""
    inputs = inputs_for(saved)
    outputs = reference_outputs(saved, inputs)
    with torch.no_grad():
        if saved.checkpoint.family.attends_to_padding and isinstance(inputs, TextBatch):
            whole = TextBatch(token_ids=inputs.token_ids, mask=torch.ones_like(inputs.mask))
            expected = saved.reference(input_ids=inputs.token_ids).pooler_output
            found = saved.reference.get_submodule("head")(saved.load()(whole))
        elif saved.checkpoint.model_type in (
            *("clip_text_model", "clip_vision_model"),
            *("dinov2", "dinov2_with_registers", "dinov3_vit"),
        ):
            expected, found = outputs.pooler_output, saved.load()(inputs)
        else:
            return
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_step_never_asks_the_host_for_a_value(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU that would wait for all that was started before."""
    tower, inputs = saved.load(), inputs_for(saved)

    def refuse(tensor: Tensor) -> bool:
        raise AssertionError(f"a tensor of shape {tuple(tensor.shape)} is read on the host")

    for name in ("__bool__", "item", "__int__", "__float__", "tolist"):
        monkeypatch.setattr(Tensor, name, refuse)
    tower(inputs).sum().backward()


def test_taking_states_leaves_no_hooks(saved: Saved) -> None:
    tower = saved.load()
    with pytest.raises(KeyError):
        tower.states(inputs_for(saved), (0, 1, NUM_BLOCKS + 1))
    for module in tower.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_an_item_does_not_depend_on_its_batch(saved: Saved) -> None:
    """Padding is never read: positions, pooling and convolutions see the title alone."""
    inputs = inputs_for(saved)
    for pooling in saved.checkpoint.family.poolings:
        tower = saved.load(pooling=pooling)
        with torch.no_grad():
            together = tower.states(inputs, (0, 1, 2, 3, OUTPUT))
            for item, length in enumerate(LENGTHS):
                if isinstance(inputs, TextBatch):
                    alone: TextBatch | ImageBatch | PatchBatch = TextBatch(
                        token_ids=inputs.token_ids[item : item + 1, :length], mask=inputs.mask[item : item + 1, :length]
                    )
                elif isinstance(inputs, PatchBatch):
                    alone = inputs.apply(lambda part, item=item: part[item : item + 1])
                    alone = replace(alone, pixels=alone.pixels[:, : int(alone.mask.sum())])
                else:
                    alone = ImageBatch(pixels=inputs.pixels[item : item + 1], mean=inputs.mean, std=inputs.std)
                states = tower.states(alone, (0, 1, 2, 3, OUTPUT))
                atol = 2e-6 * max(1.0, float(together.abs().max()))
                torch.testing.assert_close(states[0], together[item], rtol=1e-5, atol=atol)


def test_a_pooling_that_a_family_lacks_is_refused(saved: Saved) -> None:
    has = saved.checkpoint.family.poolings
    poolings: tuple[Pooling, ...] = ("cls", "mean", "last")
    for pooling in poolings:
        if pooling in has:
            continue
        with pytest.raises(SettingsError, match=rf"towers\.{saved.modality}\.pooling: .* has no {pooling}") as caught:
            saved.load(pooling=pooling)
        assert ", ".join(has) in str(caught.value)


def test_attention_is_fused_where_the_family_has_it(saved: Saved) -> None:
    is_fused = saved.checkpoint.model_type != "deberta-v2"
    assert saved.load().encoder.config._attn_implementation == ("sdpa" if is_fused else "eager")


def test_padding_tokens_are_never_read() -> None:
    tower = PretrainedText(architecture=CHECKPOINTS["bert"].architecture(), random_init=True, pooling="mean").load(
        "text", seed=0
    )
    token_ids = torch.randint(5, VOCABULARY, (3, 8), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(8) < torch.tensor([[3], [8], [1]])
    with torch.no_grad():
        first = tower.double()(TextBatch(token_ids=token_ids, mask=mask))
        second = tower.double()(TextBatch(token_ids=torch.where(mask, token_ids, 7), mask=mask))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-12)


def test_the_sites_are_the_linear_layers_and_norms_of_every_block(saved: Saved) -> None:
    tower = saved.load()
    paths = {site: tower.site_paths(site) for site in tower.sites}
    is_modern = saved.checkpoint.model_type == "modernbert"  # whose first block has no norm before its attention
    assert {site: len(found) for site, found in paths.items()} == {
        site: NUM_BLOCKS - (is_modern and site == "attention_norm") for site in paths
    }
    in_blocks = {
        name
        for name, module in tower.encoder.named_modules()
        if isinstance(module, nn.Linear) or type(module).__name__.endswith("Norm")
        if name.startswith(tower.family.blocks + ".")
    }
    flat = tower.paths_of(tower.sites)
    assert flat == [path for found in paths.values() for path in found]
    assert len(flat) == len(set(flat))
    assert set(flat) == in_blocks
    shapes = {
        site: {tuple(tower.encoder.get_submodule(path).weight.shape) for path in found}  # type: ignore[union-attr, arg-type]
        for site, found in paths.items()
    }
    config = tower.encoder.config
    head = getattr(config, "head_dim", None) or WIDTH // 2
    queries, keys = 2 * head, getattr(config, "num_key_value_heads", 2) * head
    every = {
        "query": {(queries, WIDTH)},
        "key": {(keys, WIDTH)},
        "value": {(keys, WIDTH)},
        "attention_output": {(WIDTH, queries)},
        "query_key_value": {(queries + 2 * keys, WIDTH)},
        "ffn_gate": {(FFN, WIDTH)},
        "ffn_gate_input": {(2 * FFN, WIDTH)},
        "ffn_input": {(FFN, WIDTH)},
        "ffn_output": {(WIDTH, FFN)},
        "attention_norm": {(WIDTH,)},
        "ffn_norm": {(WIDTH,)},
        "query_norm": {(head,)},
        "key_norm": {(head,)},
        "attention_output_norm": {(WIDTH,)},
        "ffn_output_norm": {(WIDTH,)},
    }
    assert shapes == {site: every[site] for site in tower.sites}
    assert {*tower.family.fused.values()} <= {*shapes}
    asked = {"query", "key", "value", "attention_output", "ffn_input", "ffn_output", "attention_norm", "ffn_norm"}
    assert asked <= {*shapes, *tower.family.fused}
    assert shapes.keys().isdisjoint(tower.family.fused)


@pytest.mark.parametrize(
    "architecture",
    [
        {"model_type": "dinov2", "use_swiglu_ffn": True},  # the giant ones
        {"model_type": "dinov3_vit", "use_gated_mlp": False},  # the small, base and large ones
    ],
    ids=lambda architecture: str(architecture["model_type"]),
)
def test_sites_are_those_of_the_size(architecture: dict[str, Any]) -> None:
    """Some sizes of a family have gated feed-forward networks and others plain ones."""
    tower = PretrainedImage(architecture=architecture, random_init=True).load("image", seed=0, with_weights=False)
    layers = {
        name for name, module in tower.blocks()[0].named_modules() if isinstance(module, nn.Linear | nn.LayerNorm)
    }
    assert set(tower.sites.values()) == layers


@pytest.mark.parametrize("side", [224, 336])
def test_clip_l_takes_both_of_its_sizes(side: int) -> None:
    """ViT-L/14, by shapes alone."""
    large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    architecture: dict[str, Any] = {
        "model_type": "clip",
        "vision_config": large | {"patch_size": 14, "image_size": side},
    }
    image = PretrainedImage(architecture=architecture, random_init=True)
    transform = image.transform()
    assert (transform.height, transform.width) == (side, side)
    tower = image.load("image", seed=0, with_weights=False)
    pixels = torch.empty(2, 3, side, side, dtype=torch.uint8, device="meta")
    states = tower.token_states(ImageBatch(pixels=pixels, mean=transform.mean, std=transform.std), (24,))[24]
    assert states.shape == (2, 1 + (side // 14) ** 2, 1024)


def test_two_passes_in_training_mode_are_equal_where_no_dropout_is_declared(saved: Saved) -> None:
    """DINOv3 rescales its places by a random number in training, which is no dropout's."""
    tower, inputs = saved.load(), inputs_for(saved)
    assert saved.settings().draws_in_training(saved.modality) == (saved.checkpoint.model_type in DROPS)
    if saved.checkpoint.model_type in DROPS:
        return
    with torch.no_grad():
        expected = tower(inputs)
        tower.train()
        assert torch.equal(tower(inputs), tower(inputs))
        assert torch.equal(tower(inputs), expected)


def test_each_norm_stands_at_the_sublayer_that_it_is_called_after(saved: Saved) -> None:
    """Before it or after it, but never beyond the other sublayer."""
    tower = saved.load()
    order: list[str] = []
    for site in tower.sites:
        module = tower.encoder.get_submodule(tower.site_paths(site)[-1])
        module.register_forward_pre_hook(lambda *_, site=site: order.append(site))
    with torch.no_grad():
        tower(inputs_for(saved))
    place = {site: order.index(site) for site in tower.sites}
    assert place["attention_norm"] < place[tower.site_that_holds("ffn_input")]
    assert place["ffn_norm"] > place["attention_output"]
    assert place["attention_norm"] < place["ffn_norm"]
    if "ffn_output_norm" in place:
        assert place["attention_output"] < place["attention_output_norm"] < place["ffn_norm"]
        assert place["ffn_output"] < place["ffn_output_norm"]


def test_query_key_and_value_are_what_they_are_called(saved: Saved) -> None:
    """Without queries or without keys attention is even, so both give one output; without values another. One layer of
    all three has them one after another."""
    inputs = inputs_for(saved)
    without: dict[str, Tensor] = {}
    sites = ("query", "key", "value")
    for site in sites:
        tower = saved.load()
        for path in tower.site_paths(tower.site_that_holds(site)):
            for parameter in tower.encoder.get_submodule(path).parameters():
                is_fused = site in tower.family.fused
                nn.init.zeros_(parameter.data.chunk(3)[sites.index(site)] if is_fused else parameter)
        with torch.no_grad():
            without[site] = tower(inputs)
    torch.testing.assert_close(without["query"], without["key"], rtol=0, atol=1e-5)
    assert (without["query"] - without["value"]).abs().max() > 1e-2


def test_a_site_that_matches_nothing_is_refused_by_name(saved: Saved) -> None:
    tower = saved.load()
    with pytest.raises(SettingsError, match=r"strategy\.sites: 'q_lin' matches nothing") as caught:
        tower.site_paths("q_lin")
    assert all(site in str(caught.value) for site in tower.sites)
    assert saved.modality in str(caught.value)


def test_a_block_that_lacks_a_site_is_named(saved: Saved) -> None:
    tower = saved.load()
    site = tower.site_that_holds("value")
    path = tower.site_paths(site)[1]
    parent, _, name = path.rpartition(".")
    delattr(tower.encoder.get_submodule(parent), name)
    with pytest.raises(SettingsError, match=f"'{site}' is missing in") as caught:
        tower.site_paths(site)
    assert path in str(caught.value)
    assert tower.family.blocks + ".0." not in str(caught.value)


def test_every_parameter_is_one_of_the_checkpoints_and_gets_a_gradient(saved: Saved) -> None:
    """No pooler, projection, attention-pooling head or mask token; else `full` would declare what never moves."""
    tower = saved.load()
    stored = {name: parameter.shape for name, parameter in saved.reference.named_parameters()}
    left = {name for name, _ in tower.encoder.named_parameters()}
    unused = ("pooler.", "head.", "embeddings.mask_token", "merger.mlp.", "merger.linear", "deepstack_merger_list.")
    assert left == {name for name in stored if not name.startswith(unused)}
    for pooling in (None, *saved.checkpoint.family.poolings):
        tower = saved.load(pooling=pooling)
        tower(inputs_for(saved)).square().sum().backward()
        assert not {name for name, parameter in tower.named_parameters() if parameter.grad is None}


def test_blocks_that_keep_their_inputs_alone_give_the_same_gradients(saved: Saved) -> None:
    gradients: list[dict[str, Tensor]] = []
    for keeps_all in (True, False):
        tower = saved.load()
        if not keeps_all:
            checkpoint_activations(Towers(text=tower) if saved.modality == "text" else Towers(image=tower))
        with torch.random.fork_rng():
            torch.manual_seed(0)  # for dropout
            tower.train()(inputs_for(saved)).square().sum().backward()
        gradients.append({name: each.grad for name, each in tower.named_parameters() if each.grad is not None})
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-5)


def test_positions_are_resampled_once_to_the_size_of_the_images(tmp_path_factory: pytest.TempPathFactory) -> None:
    saved = save_checkpoint(tmp_path_factory.mktemp("dinov2"), "dinov2")
    tower = saved.load()
    table = tower.encoder.get_parameter("embeddings.position_embeddings")
    assert saved.reference.get_parameter("embeddings.position_embeddings").shape == (1, 37, WIDTH)
    assert table.shape == (1, 1 + PATCHES, WIDTH)
    kept = PretrainedImage(checkpoint=str(saved.folder), image_size=48).load("image", seed=0)
    stored = saved.reference.get_parameter("embeddings.position_embeddings")
    assert torch.equal(kept.encoder.get_parameter("embeddings.position_embeddings"), stored)
    shapes = saved.settings().load("image", seed=0, with_weights=False)
    assert shapes.encoder.get_parameter("embeddings.position_embeddings").shape == table.shape


def batches() -> Iterator[ItemBatch]:
    generator = torch.Generator().manual_seed(0)
    token_ids = torch.randint(5, VOCABULARY, (3, 5), generator=generator)
    pixels = torch.randint(0, 256, (3, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    text = TextBatch(token_ids=token_ids, mask=torch.ones(3, 5, dtype=torch.bool))
    image = ImageBatch(pixels=pixels, mean=(0.5,) * 3, std=(0.5,) * 3)
    yield ItemBatch(items=torch.arange(3), contents={"text": text, "image": image})
    yield ItemBatch(items=torch.arange(3), contents={"text": text})
    yield ItemBatch(items=torch.arange(3), contents={"image": image})


def test_towers_stand_image_first_and_read_their_own_content() -> None:
    text = PretrainedText(architecture=CHECKPOINTS["bert"].architecture(), random_init=True)
    image = PretrainedImage(architecture=CHECKPOINTS["vit"].architecture(), random_init=True)
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
