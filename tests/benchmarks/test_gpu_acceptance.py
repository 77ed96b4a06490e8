"""The acceptance on a GPU: its road on a CPU at a small shape, its limits, and its table."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import gpu_acceptance
import psutil
import pytest
from acceptance.parts import PARTS
from acceptance.running import LEAST_SECONDS, run_part
from acceptance.table import to_markdown

pytestmark = pytest.mark.integration

STEPS = ("iisan_cached", "iisan", "lora", "adapter", "full")
NUM_USERS, NUM_ITEMS = 12, 30


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few users and titles in the layout of Amazon Scientific."""
    root = tmp_path / "data"
    root.mkdir()
    titles = "".join(f"a{item}\tglass tube number {item}\n" for item in range(NUM_ITEMS))
    histories = (
        f"u{user}\t" + " ".join(f"a{(3 * user + place) % NUM_ITEMS}" for place in range(8)) for user in range(NUM_USERS)
    )
    (root / "items.tsv").write_text(titles)
    (root / "users.tsv").write_text("\n".join(histories) + "\n")
    return root


@pytest.mark.slow
@pytest.mark.timeout(1800)  # eight processes, each of which imports torch
def test_the_road_on_a_cpu(data: Path, tmp_path: Path) -> None:
    program, out = Path(gpu_acceptance.__file__), tmp_path / "out"
    command = [sys.executable, str(program), "--out", str(out), "--data-root", str(data), "--shape", "small"]
    small = [
        "--device",
        "cpu",
        "--batch-size",
        "4",
        "--seconds",
        "0.1",
        "--store-items",
        "6",
        "--minutes",
        "30",
        "--limit-factor",
        "10",
    ]
    done = subprocess.run([*command, *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    content = json.loads((out / "acceptance.json").read_text())
    parts = content["parts"]
    assert list(parts) == ["matrix_rate", *STEPS, "store"]
    for name in STEPS:
        assert parts[name]["steps"] >= 5
        assert parts[name]["operations_per_second"] > 0
        low, high = parts[name]["step_seconds_quartiles"]
        assert low <= parts[name]["step_seconds"] <= high
    trained = {name: parts[name]["trainable_parameters"] for name in STEPS}
    assert trained["iisan_cached"] > trained["lora"]
    assert trained["full"] == max(trained.values())
    assert parts["store"]["items"] == 6
    assert (out / "acceptance.md").read_text() == done.stdout
    assert all(f"| {name} |" in done.stdout for name in parts)


def test_a_part_is_killed_at_its_limit_with_its_children(tmp_path: Path) -> None:
    told = tmp_path / "child"
    both = f"sleep 1000 & echo $! > {shlex.quote(str(told))}; wait"
    found = run_part(["sh", "-c", both], tmp_path / "part.json", limit=LEAST_SECONDS)
    assert found["status"] == "timed out"
    # Killed with its parent, and taken over by the system, which may leave it a zombie.
    child = next((each for each in psutil.process_iter() if each.pid == int(told.read_text())), None)
    assert child is None or child.status() == psutil.STATUS_ZOMBIE or not psutil.wait_procs([child], timeout=60)[1]


def test_a_part_that_fails_says_its_last_word_and_one_without_time_is_not_started(tmp_path: Path) -> None:
    result = tmp_path / "part.json"
    result.write_text('{"of": "an earlier call"}')
    found = run_part([sys.executable, "-c", "raise SystemExit('CUDA out of memory')"], result, limit=60)
    assert (found["status"], found["reason"]) == ("failed", "CUDA out of memory")
    assert not result.exists()
    assert run_part(["nothing"], result, limit=LEAST_SECONDS - 1)["status"] == "not started"


def test_a_table_shows_what_failed_beside_what_did_not() -> None:
    step = {
        "status": "success",
        "step_seconds": 0.1,
        "step_seconds_quartiles": [0.09, 0.12],
        "steps": 40,
        "users": 64,
        "operations_per_second": 2e14,
        "peak_memory_bytes": 3 * 2**30,
        "trainable_parameters": 1234567,
    }
    results = {
        "matrix_rate": {"status": "success", "operations_per_second": 8e14, "device": "a GPU"},
        "lora": step,
        "full": {"status": "failed", "reason": "out | of memory"},
    }
    text = to_markdown({"shape": "paper", "published": None}, results)
    lines = text.splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines if line.startswith("|")}) == 1
    assert "| 100.0 ms | 90.0 ms to 120.0 ms | 40 | 64 | 3.00 GiB | 25.0% |" in text
    assert "failed: out \\| of memory" in text
    assert "Setting: shape paper." in text


def test_limits_leave_room_for_the_parts_without_a_checkout() -> None:
    assert sum(part.limit for part in PARTS.values() if not part.needs_published) <= 9 * 60


def test_without_a_gpu_it_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_acceptance.py", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as left:
        gpu_acceptance.main()
    assert left.value.code == 2
    assert "--device cpu --shape small" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
