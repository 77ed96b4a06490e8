"""A user encoder in a file of torch's own gives the states of the live one, for any number of users and of steps."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from peftrec.data.interactions import Interactions
from peftrec.data.loading import padded_sequences
from peftrec.errors import CheckpointError
from peftrec.serving.user_encoder_file import USER_ENCODER, ExportedUserEncoder, write_user_encoder
from peftrec.user_encoders.base import UserEncoder
from peftrec.user_encoders.gru4rec import GRU4Rec
from peftrec.user_encoders.gtn import GTN
from peftrec.user_encoders.hstu import HSTU, TimedHSTU
from peftrec.user_encoders.ligr import LiGR
from peftrec.user_encoders.sasrec import SASRec

DIM, LONGEST, NUM_ITEMS = 8, 5, 30
LENGTHS = (1, 2, 4, 5, 6, 9)
ENCODERS = {
    "sasrec": SASRec(num_blocks=1),
    "gru4rec": GRU4Rec(hidden_dim=6),
    "gtn": GTN(num_blocks=1, channel_width=4),
    "hstu": HSTU(num_blocks=1, head_dim=4),
    "hstu_timed": TimedHSTU(num_blocks=1, head_dim=4),
    "ligr": LiGR(num_blocks=1),
    "sasrec_two_blocks": SASRec(),
    "sasrec_pre_rms": SASRec(placement="pre", norm="rms"),
    "sasrec_fix_norm": SASRec(norm="scale", fix_norm=True, initialisation="small"),
    "gru4rec_two_layers": GRU4Rec(num_layers=2),
}
QUICK = ("sasrec",)


def histories(*, times: bool = False) -> Interactions:
    random = np.random.default_rng(0)
    items = [random.integers(0, NUM_ITEMS, length).astype(np.int32) for length in LENGTHS]
    packed = Interactions.from_lists([f"u{row}" for row in range(len(items))], items)
    if not times:
        return packed
    return Interactions(
        users=packed.users,
        items=packed.items,
        offsets=packed.offsets,
        times=np.arange(len(packed.items), dtype=np.int64) * 86_400,
    )


def embeddings() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(NUM_ITEMS, DIM)).astype(np.float32)


def write(module: nn.Module, folder: Path, *, times: bool = False) -> ExportedUserEncoder:
    return write_user_encoder(
        module,
        folder / USER_ENCODER,
        embeddings=embeddings(),
        histories=histories(times=times),
        longest=LONGEST,
        reads_times=times,
    )


def built(encoder: UserEncoder) -> nn.Module:
    torch.manual_seed(0)
    return encoder.build(dim=DIM, sequence_length=LONGEST)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in ENCODERS]
)
@torch.no_grad()
def test_the_file_gives_the_live_states(name: str, tmp_path: Path) -> None:
    module, timed = built(ENCODERS[name]), ENCODERS[name].reads_times
    written = write(module, tmp_path, times=timed)
    assert written.difference <= 1e-5
    assert written.num_parameters == sum(parameter.numel() for parameter in module.parameters())
    assert (written.dim, written.longest) == (DIM, LONGEST)
    if timed:  # whole histories with times are looked at below
        return
    assert written.times is None
    again = torch.export.load(tmp_path / USER_ENCODER).module()
    vectors, read = torch.from_numpy(embeddings()), histories()
    padded = padded_sequences(read, np.arange(len(read)), LONGEST, reads_times=False)
    expected = module.eval()(vectors[padded.items], padded.mask)[:, -1]
    for row, items in enumerate(read):  # alone and whole, be it longer than what was trained on
        whole = vectors[torch.from_numpy(items.astype(np.int64))][None]
        assert torch.allclose(again(whole, torch.ones(1, len(items), dtype=torch.bool))[0], expected[row], atol=1e-6)
    assert torch.allclose(again(vectors[padded.items], padded.mask), expected, atol=1e-6)
    many = again(vectors[padded.items].repeat(20, 1, 1), padded.mask.repeat(20, 1))
    assert torch.allclose(many, expected.repeat(20, 1), atol=1e-6)


@torch.no_grad()
def test_one_history_of_one_step_is_enough_to_write_a_file_for_any(tmp_path: Path) -> None:
    module = SASRec(num_blocks=1).build(dim=DIM, sequence_length=1).eval()
    only = Interactions.from_lists(["u"], [[3]])
    write_user_encoder(
        module, tmp_path / USER_ENCODER, embeddings=embeddings(), histories=only, longest=1, reads_times=False
    )
    again = torch.export.load(tmp_path / USER_ENCODER).module()
    vectors = torch.from_numpy(embeddings())[:12].view(3, 4, DIM)
    mask = torch.ones(3, 4, dtype=torch.bool)
    assert torch.allclose(again(vectors, mask), module(vectors[:, -1:], mask[:, -1:])[:, -1], atol=1e-6)


def test_the_live_encoder_stays_as_it_is(tmp_path: Path) -> None:
    module = built(ENCODERS["sasrec"]).to(torch.bfloat16).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert write(module, tmp_path).difference <= 1e-5  # against the same numbers in float32
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_the_file_holds_no_pickle_and_no_place_of_this_machine(tmp_path: Path) -> None:
    write(built(ENCODERS["sasrec"]), tmp_path)
    with zipfile.ZipFile(tmp_path / USER_ENCODER) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert all(not content.startswith((b"PK", b"\x80")) for content in parts.values() if content[:1])
    assert not any(str(Path(torch.__file__).parent).encode() in content for content in parts.values())
    assert not any(b'File \\"/' in content or b'File "/' in content for content in parts.values())


class Ages(nn.Module):
    """The mean of the items, less what fades with the age of each."""

    def forward(self, embeddings: Tensor, mask: Tensor, times: Tensor | None = None) -> Tensor:
        assert times is not None
        ages = (times[:, -1:] - times).to(embeddings.dtype) / 86_400
        weights = torch.where(mask, torch.exp(-ages), 0.0)
        return (weights[..., None] * embeddings).cumsum(dim=1)


@torch.no_grad()
def test_an_encoder_that_reads_times_is_given_them(tmp_path: Path) -> None:
    assert write(Ages(), tmp_path, times=True).times == "torch.int64"
    again = torch.export.load(tmp_path / USER_ENCODER).module()
    vectors, times = torch.from_numpy(embeddings())[None, :3], torch.tensor([[0, 86_400, 3 * 86_400]])
    expected = (vectors[0] * torch.exp(torch.tensor([-3.0, -2.0, 0.0]))[:, None]).sum(dim=0)
    assert torch.allclose(again(vectors, torch.ones(1, 3, dtype=torch.bool), times)[0], expected, atol=1e-6)


class Branching(nn.Module):
    def forward(self, embeddings: Tensor, mask: Tensor, times: Tensor | None = None) -> Tensor:
        return embeddings if bool(mask.all()) else -embeddings


class ReadsPadding(nn.Module):
    def forward(self, embeddings: Tensor, mask: Tensor, times: Tensor | None = None) -> Tensor:
        return embeddings.cumsum(dim=1)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Branching(), r"Branching, cannot be written as operations of torch \(.*user_encoder=false"),
        (ReadsPadding(), r"gives other states than the run's .*user_encoder=false"),
    ],
)
def test_what_cannot_be_written_so_is_refused(module: nn.Module, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        write(module, tmp_path)
    assert "\n" not in str(caught.value)
