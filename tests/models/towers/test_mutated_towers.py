"""Whatever a damaged checkpoint holds, it is a tower that encodes, or one error that names it."""

import random
from pathlib import Path

import pytest
from PIL import Image

from mutations import Target, refusals
from peftrec.towers.pretrained import PretrainedText
from small_families import save_checkpoint

pytestmark = pytest.mark.integration

QUICK, LONG = 20, 2_000


def target_of(folder: Path, name: str) -> Target:
    saved = save_checkpoint(folder / name, name)
    settings = saved.settings()

    def read(_: random.Random) -> None:
        tower = settings.load(saved.modality, seed=0)
        assert tower.num_blocks == settings.num_blocks(saved.modality)
        if isinstance(settings, PretrainedText):
            assert settings.tokenise(["red lamp", ""]).token_ids is not None
        else:
            assert settings.transform().pixels(Image.new("RGB", (9, 7))).size

    return Target(
        saved.folder,
        sorted(file for file in saved.folder.rglob("*") if file.is_file()),
        read,
        f"towers.{saved.modality}",
    )


@pytest.mark.parametrize("rounds", [QUICK, pytest.param(LONG, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize(
    "name",
    [
        *("bert", "clip_pair_text", "vit", "siglip_pair_image"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("naflex", "qwen2_5_vision", "qwen3_vision", "dinov3")
        ),
    ],
)
def test_damaged_checkpoints_are_towers_or_one_error(name: str, rounds: int, tmp_path: Path) -> None:
    refused = refusals(target_of(tmp_path, name), name, rounds)
    assert 0 < len(refused) < rounds
