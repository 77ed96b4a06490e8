"""The comparison with the published code: what needs no checkout of it, and with `--published PATH` every case."""

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import against_published
import numpy as np
import pytest
import torch
from published import alternating, loading, ranking, workload
from published.bench import Bench, DisagreementError, agree
from published.cases import CASES
from published.earlier_vit import EarlierViT, random_vit
from published.loading import CannotRunError, NotACheckoutError, load_published
from published.with_reading import our_training, write_states
from torch import nn
from transformers import ViTConfig, ViTForImageClassification

from peftrec.data.interactions import Interactions
from peftrec.data.split import RankingCases

SMALL_VIT = ViTConfig(
    hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, image_size=16, patch_size=8
)
CPU = torch.device("cpu")
COMPILED = "cached_step_compiled"


def test_sides_take_turns_and_ratios_are_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    seconds = iter([9.0, 9.0, 2.0, 6.0, 9.0, 3.0, 4.0, 4.0])

    def timed(work: object, _: torch.device) -> float:
        work()  # type: ignore[operator]
        return next(seconds)

    monkeypatch.setattr(alternating, "seconds_of", timed)
    found = alternating.compare(
        lambda pair: (lambda: called.append(f"theirs {pair}"), lambda: called.append(f"ours {pair}")),
        device=CPU,
        num_pairs=3,
        num_warm=1,
    )
    assert called == ["theirs 0", "ours 0", "ours 1", "theirs 1", "theirs 2", "ours 2", "ours 3", "theirs 3"]
    assert (found.theirs, found.ours) == ([6.0, 9.0, 4.0], [2.0, 3.0, 4.0])
    assert found.ratio == 3.0
    assert found.spread == (1.0, 3.0)


def test_the_earlier_vit_computes_what_the_installed_one_does() -> None:
    torch.manual_seed(0)
    installed = ViTForImageClassification(SMALL_VIT).eval()
    pixels = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    earlier = EarlierViT(installed).eval()
    with torch.no_grad():
        expected = installed(pixels, output_hidden_states=True)
        found = earlier(pixels, output_hidden_states=True)
    torch.testing.assert_close(found[0], expected.logits)
    assert found.hidden_states is not None
    assert len(found.hidden_states) == len(expected.hidden_states) == 3
    for one, other in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(one, other)
    assert earlier(pixels).hidden_states is None


def test_the_earlier_vit_has_the_places_that_the_published_code_names() -> None:
    block = random_vit(SMALL_VIT).vit.encoder.layer[1]
    places = ("attention.attention.query", "attention.attention.value", "attention.output.dense", "output.dense")
    assert all(isinstance(block.get_submodule(place), nn.Linear) for place in places)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder laid out like the published repository, with code of no use."""
    for variant in ("Code_Cached", "Code_Uncached"):
        files = {
            "model/__init__.py": "from .model import *",
            "model/model.py": f"import torchvision.transforms as transforms\nNAME = {variant!r}",
            "data_utils/__init__.py": "from .metrics import *",
            "data_utils/metrics.py": "import lmdb\nfrom model import NAME",
            "data_utils/dataset.py": "import torchvision as tv",
            "parameters.py": "import argparse\n\n\ndef parse_args():\n    parser = argparse.ArgumentParser()\n"
            "    parser.add_argument('--batch_size', type=int, default=64)\n    return parser.parse_args()\n",
        }
        for name, text in files.items():
            path = tmp_path / variant / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return tmp_path


def test_variants_are_kept_apart_and_leave_no_trace(checkout: Path) -> None:
    before, path = set(sys.modules), list(sys.path)
    cached, uncached = (load_published(checkout, variant) for variant in ("Code_Cached", "Code_Uncached"))
    assert (cached.model.NAME, uncached.model.NAME) == ("Code_Cached", "Code_Uncached")
    assert (cached.metrics.NAME, uncached.metrics.NAME) == ("Code_Cached", "Code_Uncached")
    own = {name for name in set(sys.modules) - before if name.split(".", maxsplit=1)[0] in loading._OWN}
    assert not own
    assert sys.path == path


def test_options_are_the_published_ones(checkout: Path) -> None:
    code = load_published(checkout, "Code_Cached")
    assert code.arguments(batch_size=8).batch_size == 8
    assert code.arguments().batch_size == 64
    with pytest.raises(CannotRunError, match="no option learning_rate"):
        code.arguments(learning_rate=1)


def test_an_absent_library_fails_at_its_first_use() -> None:
    absent = loading.StandIn("torchvision")
    with pytest.raises(ImportError, match=r"torchvision is not installed.* Resize"):
        absent.Resize  # noqa: B018


def test_a_folder_without_the_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotACheckoutError, match=r"model\.py is missing: name a checkout"):
        load_published(tmp_path, "Code_Cached")


TINY = replace(workload.SMALL, image_size=16, batch_size=4, embedded_batch_size=4, max_users=5)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Ten users over twenty items in the published files."""
    random = np.random.default_rng(0)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "items.tsv").write_text("".join(f"i{item}\ttitle {item}\n" for item in range(20)))
    histories = [random.permutation(20)[: random.integers(5, 14)] for _ in range(10)]
    lines = [f"u{user}\t{' '.join(f'i{item}' for item in items)}\n" for user, items in enumerate(histories)]
    (folder / "users.tsv").write_text("".join(lines))
    return folder


def test_both_sides_get_the_same_work(data_root: Path, tmp_path: Path) -> None:
    work = workload.load_workload(TINY, data_root, tmp_path)
    rows = work.order(4)[0]
    ids, mask = work.occurrences(rows)
    batch = work.batch(rows, content=True)
    assert ids.shape == batch.sequences.shape == (4, 11)
    assert torch.equal(mask.bool(), batch.mask[:, :-1])
    assert torch.equal(ids > 0, batch.mask)
    assert torch.equal((ids - 1)[batch.mask], batch.items.items[batch.sequences][batch.mask])
    assert len(batch.items.items) == len(ids[ids > 0].unique())

    rows_of_items = batch.sequences[batch.mask]
    text, image = batch.items.content("text"), batch.items.content("image")
    titles, words = work.published_titles(ids), text.mask.shape[1]
    assert titles.shape == (44, 60)
    assert not titles[~batch.mask.view(-1)].any()
    assert torch.equal(titles[batch.mask.view(-1), :words], text.token_ids[rows_of_items])
    assert torch.equal(titles[batch.mask.view(-1), 30 : 30 + words].bool(), text.mask[rows_of_items])

    pixels = work.published_pixels(ids)
    assert not pixels[~batch.mask.view(-1)].any()
    torch.testing.assert_close(
        pixels[batch.mask.view(-1)], image.normalised(torch.float32)[rows_of_items], atol=1e-6, rtol=0
    )


def test_popularity_is_the_published_one(data_root: Path, tmp_path: Path) -> None:
    work = workload.load_workload(TINY, data_root, tmp_path)
    shares = work.popularity()
    assert shares[0] == 1.0
    assert sum(shares[1:]) == pytest.approx(1.0)
    logs = np.log(np.array(shares[1:]), where=np.array(shares[1:]) > 0, out=np.zeros(len(shares) - 1))
    np.testing.assert_allclose(work.split.log_popularity(), logs, rtol=1e-6)


def test_our_side_trains_on_the_states_that_are_written(data_root: Path, tmp_path: Path) -> None:
    """At every shape they are those of twelve blocks: the published cached code knows no others."""
    work = workload.load_workload(TINY, data_root, tmp_path)
    order = work.order(4)
    ours = our_training(work, write_states(tmp_path, work, order), "auto", CPU)
    before = {name: value.clone() for name, value in ours.module.state_dict().items()}
    ours.step(work.batch(order[0], content=False))
    still = {name for name, parameter in ours.module.named_parameters() if torch.equal(parameter, before[name])}
    assert not still


def test_published_cases_end_in_the_target() -> None:
    histories = Interactions.from_lists(("a", "b", "c"), [[0, 1, 2], [3, 4], [5]])
    cases = RankingCases(histories=histories, targets=np.array([6, 7, 8], dtype=np.int32))
    first = ranking.first_cases(cases, 2)
    assert len(first) == 2
    assert ranking.first_cases(cases, None) is cases
    sequences, seen = ranking.published_cases(first, sequence_length=2)
    assert sequences == {0: [2, 3, 7], 1: [4, 5, 8]}
    assert {user: items.tolist() for user, items in seen.items()} == {0: [1, 2, 3], 1: [4, 5]}


def test_sides_that_disagree_are_not_compared() -> None:
    agree("loss", theirs=1.0, ours=1.1, tolerance=0.2)
    for ours in (1.3, float("nan")):
        with pytest.raises(DisagreementError, match=r"loss: 1\.0 by the published code"):
            agree("loss", theirs=1.0, ours=ours, tolerance=0.2)


def test_a_case_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise CannotRunError("no such library\nand more")

    monkeypatch.setitem(against_published.CASES, "fft", SimpleNamespace(run=refuse, timed="a step"))
    found = against_published.row("fft", SimpleNamespace())  # type: ignore[arg-type]
    assert found.split() == ["fft", "-", "-", "-", "no", "figure:", "no", "such", "library"]


def test_unknown_cases_are_refused() -> None:
    assert against_published.case_names("loss,fft") == ["loss", "fft"]
    with pytest.raises(argparse.ArgumentTypeError, match=r"there is no fff; choose from cached_step"):
        against_published.case_names("loss,fff")


@pytest.fixture
def checkout_given(request: pytest.FixtureRequest) -> Path:
    path = request.config.getoption("--published")
    if path is None:
        # The published code has no licence to redistribute, so only whoever fetched it can run this.
        pytest.skip("no checkout of the published code; name one with --published")
    return Path(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name != COMPILED])
def test_every_case_runs(name: str, data_root: Path, checkout_given: Path) -> None:
    work = workload.load_workload(TINY, data_root, checkout_given)
    bench = Bench(work=work, checkout=checkout_given, device=CPU, num_pairs=1, num_warm=0)
    found = against_published.row(name, bench)
    assert "no figure" not in found or "loralib is not installed" in found


@pytest.mark.slow
def test_the_compiled_case_runs(data_root: Path, checkout_given: Path) -> None:
    """In a process of its own: the compiler cannot read code that checks shapes."""
    options = {"--published": checkout_given, "--data-root": data_root, "--cases": COMPILED, "--pairs": 1}
    command = [sys.executable, against_published.__file__, *(str(word) for pair in options.items() for word in pair)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    assert found.startswith(COMPILED)
    assert "no figure" not in found
