"""Exact trainable counts at the paper's shape (BERT-base, ViT-B/16, embedding 64), each from its formula.

Only an exact count catches a strategy that adapts some blocks and not others.
"""

import pytest

from peftrec.config.folder import config_directory
from peftrec.user_encoders.sasrec import SASRec
from small_models import BASE_SHAPE, build_strategy

WIDTH, FFN, BLOCKS, DIM, LENGTH = 768, 3072, 12, 64, 10


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


NORM = 2 * DIM
USER_ENCODER = LENGTH * DIM + NORM + 2 * (4 * DIM * DIM + NORM + linear(DIM, 4 * DIM) + linear(4 * DIM, DIM) + NORM)
HEAD = 2 * linear(WIDTH, DIM) + linear(2 * DIM, DIM)
BLOCK_BIASES = 4 * WIDTH + FFN + WIDTH + 2 * WIDTH  # attention, feed-forward, two norms
BIASES = 2 * BLOCKS * BLOCK_BIASES + WIDTH + 2 * WIDTH  # BERT's embedding norm; ViT's patches and final norm
BOTTLENECK = linear(WIDTH, 64) + linear(64, WIDTH)
BRANCH_HEAD = linear(WIDTH, WIDTH) + linear(WIDTH, DIM)
SIDE_TOWERS = 3 * (7 * BOTTLENECK + 7 + BRANCH_HEAD)
LOW_RANK = 2 * 8 * (WIDTH + 64) + 64 + WIDTH
PHM = 2 * (8**3 + WIDTH * 64 // 8) + 64 + WIDTH
NARROW = WIDTH // 8
SIDE_LAYER = 2 * NARROW + linear(NARROW, 4 * NARROW) + linear(4 * NARROW, NARROW)
LADDER = 7 * linear(WIDTH, NARROW) + 6 * (SIDE_LAYER + 1) + 2 * NARROW + linear(NARROW, WIDTH)
THIN = WIDTH // 16
RUNG = WIDTH * 16 + 16 * THIN + 2 * THIN
THIN_LAYER = 2 * THIN + linear(THIN, 4 * THIN) + linear(4 * THIN, THIN)
THIN_LADDER = 6 * (RUNG + THIN + THIN_LAYER) + 2 * THIN + linear(THIN, WIDTH) + WIDTH
TUNER = linear(WIDTH, 10) + linear(10, WIDTH)
TOWERS = 108_891_648 + 85_798_656  # BERT-base and ViT-B/16 without poolers, as transformers builds them


def trainable(name: str, **changes: object) -> int:
    strategy = build_strategy(config_directory() / "strategy" / f"{name}.yaml", **changes)
    towers = BASE_SHAPE.load(seed=0, with_weights=False)
    encoder = strategy.adapt(towers, embedding_dim=DIM, num_items=20_314)
    user_encoder = SASRec().build(dim=DIM, sequence_length=LENGTH)
    return sum(p.numel() for part in (encoder, user_encoder) for p in part.parameters() if p.requires_grad)


def test_user_encoder() -> None:
    assert USER_ENCODER == 100_224


@pytest.mark.parametrize(
    ("name", "formula", "stated"),
    [
        ("frozen", HEAD + USER_ENCODER, 206_912),
        ("frozen_cached", HEAD + USER_ENCODER, 206_912),
        ("bitfit", BIASES + HEAD + USER_ENCODER, 411_968),
        ("lora", 2 * BLOCKS * 2 * 8 * (WIDTH + WIDTH) + HEAD + USER_ENCODER, 796_736),
        ("lora_cached", 2 * 2 * 2 * 8 * (WIDTH + WIDTH) + HEAD + USER_ENCODER, 305_216),
        (
            "lora_published",  # loralib's layers as the published code makes them, biases of query and value included
            2 * BLOCKS * 2 * (8 * (WIDTH + WIDTH) + WIDTH) + HEAD + USER_ENCODER,
            833_600,
        ),
        ("adapter", 2 * BLOCKS * 2 * BOTTLENECK + HEAD + USER_ENCODER, 4_965_440),
        ("adapter_pfeiffer", 2 * BLOCKS * BOTTLENECK + HEAD + USER_ENCODER, 2_586_176),
        ("adapter_parallel", 2 * BLOCKS * BOTTLENECK + HEAD + USER_ENCODER, 2_586_176),
        ("iisan", SIDE_TOWERS + linear(3 * DIM, DIM) + USER_ENCODER, 4_113_877),
        ("iisan_cached", SIDE_TOWERS + linear(3 * DIM, DIM) + USER_ENCODER, 4_113_877),
        (
            "iisan_low_rank_cached",
            3 * (7 * LOW_RANK + 7 + BRANCH_HEAD) + linear(3 * DIM, DIM) + USER_ENCODER,
            2_329_045,
        ),
        ("iisan_phm_cached", 3 * (7 * PHM + 7 + BRANCH_HEAD) + linear(3 * DIM, DIM) + USER_ENCODER, 2_329_045),
        (
            "iisan_versa",  # intra branches narrow in their first output layer
            SIDE_TOWERS - 2 * (linear(WIDTH, WIDTH) - linear(DIM, DIM)) + linear(3 * DIM, DIM) + USER_ENCODER,
            2_941_013,
        ),
        ("lst", 2 * LADDER + HEAD + USER_ENCODER, 2_282_636),
        ("lst_cached", 2 * LADDER + HEAD + USER_ENCODER, 2_282_636),
        ("res_tuning", 2 * 6 * 2 * TUNER + HEAD + USER_ENCODER, 594_224),
        ("res_tuning_cached", 2 * 6 * 2 * TUNER + HEAD + USER_ENCODER, 594_224),
        ("dtl", 2 * BLOCKS * 2 * 2 * WIDTH + HEAD + USER_ENCODER, 280_640),
        ("dtl_plus", 2 * BLOCKS * 2 * 2 * WIDTH + 9 * WIDTH + HEAD + USER_ENCODER, 287_552),
        ("dtl_cached", 2 * BLOCKS * 2 * 2 * WIDTH + HEAD + USER_ENCODER, 280_640),
        ("unipt", 2 * (14 * linear(WIDTH, 192) + linear(192, WIDTH) + 193) + HEAD + USER_ENCODER, 4_637_890),
        ("unipt_cached", 2 * (14 * linear(WIDTH, 192) + linear(192, WIDTH) + 193) + HEAD + USER_ENCODER, 4_637_890),
        (
            "sherl",
            2 * (BLOCKS * (linear(WIDTH, 192) + 2 * 192) + 193 + linear(192, WIDTH) + 2 * WIDTH + 1)
            + HEAD
            + USER_ENCODER,
            4_059_588,
        ),
        (
            "sherl_cached",
            2 * (BLOCKS * (linear(WIDTH, 192) + 2 * 192) + 193 + linear(192, WIDTH) + 2 * WIDTH + 1)
            + HEAD
            + USER_ENCODER,
            4_059_588,
        ),
        ("qst", 2 * THIN_LADDER + HEAD + USER_ENCODER, 667_520),
        ("qst_cached", 2 * THIN_LADDER + HEAD + USER_ENCODER, 667_520),
        (
            "vqt",
            2 * (BLOCKS * WIDTH + linear((1 + BLOCKS) * WIDTH, DIM)) + linear(2 * DIM, DIM) + USER_ENCODER,
            1_404_992,
        ),
        (
            "vqt_cached",
            2 * (BLOCKS * WIDTH + linear((1 + BLOCKS) * WIDTH, DIM)) + linear(2 * DIM, DIM) + USER_ENCODER,
            1_404_992,
        ),
        ("full", TOWERS + HEAD + USER_ENCODER, 194_897_216),
        ("id", 20_314 * DIM + USER_ENCODER, 1_400_320),
    ],
)
def test_trainable_parameters_at_the_papers_shape(name: str, formula: int, stated: int) -> None:
    assert formula == stated
    assert trainable(name) == formula


def test_variants_of_the_side_network() -> None:
    tower = SIDE_TOWERS // 3
    assert trainable("iisan", branches="inter") == tower + linear(DIM, DIM) + USER_ENCODER
    assert trainable("iisan", branches="intra") == 2 * tower + linear(2 * DIM, DIM) + USER_ENCODER
    assert trainable("iisan", mixing="add") == 4_113_877 - 21
    # without a block for the embedding layer's state, six blocks and gates are left in each branch
    assert trainable("iisan", starts_from_embedding=True) == 4_113_877 - 3 * (BOTTLENECK + 1)
    assert trainable("iisan", layers=[12]) == 4_113_877 - 18 * (BOTTLENECK + 1)
    assert trainable("iisan", layers="all") == 4_113_877 + 18 * (BOTTLENECK + 1)
    assert trainable("iisan", layers="top_half") == trainable("iisan", layers="every_second") == 4_113_877
    # rank and division count in every one of 21 blocks
    assert trainable("iisan", block="low_rank", rank=2) == 4_113_877 - 21 * (BOTTLENECK - 2 * 2 * 832 - 832)
    assert trainable("iisan", block="phm", phm_division=4) == 4_113_877 - 21 * (BOTTLENECK - 2 * (64 + 12_288) - 832)
    assert trainable("iisan_versa", block="phm") == trainable("iisan_versa") - 21 * (BOTTLENECK - PHM)


def test_variants_of_the_ladder() -> None:
    assert trainable("lst", layers="all") == 2_282_636 + 2 * 6 * (linear(WIDTH, NARROW) + SIDE_LAYER + 1)
    assert trainable("lst", layers=[12]) == 2_282_636 - 2 * 5 * (linear(WIDTH, NARROW) + SIDE_LAYER + 1)


def test_variants_of_the_thin_ladder() -> None:
    assert trainable("qst", layers="all") == trainable("qst") + 2 * 6 * (RUNG + THIN + THIN_LAYER)
    assert trainable("qst", rank=8) == trainable("qst") - 2 * 6 * 8 * (WIDTH + THIN)


def test_variants_of_the_bypass() -> None:
    # n 2 (2 d m + m + d) for a tower of n = 12 blocks, d = 768 and m = 10: 387,312
    assert trainable("res_tuning", layers="all") == HEAD + USER_ENCODER + 2 * 387_312
    narrower = linear(WIDTH, 4) + linear(4, WIDTH)
    assert trainable("res_tuning", bottleneck=4) == 594_224 - 2 * 6 * 2 * (TUNER - narrower)


def test_low_rank_counts_follow_sites_and_rank() -> None:
    base = HEAD + USER_ENCODER
    assert trainable("lora", rank=4) - base == 2 * BLOCKS * 2 * 4 * (WIDTH + WIDTH)
    assert trainable("lora", sites=["ffn_input"]) - base == 2 * BLOCKS * 8 * (WIDTH + FFN)
