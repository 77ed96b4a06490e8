"""Which CUDA devices a run may take."""

from pathlib import Path

import pytest

from peftrec import devices


@pytest.mark.parametrize(("chosen", "found"), [("0,1", ["0", "1"]), ("", []), ("-1", []), ("GPU-a1", ["GPU-a1"])])
def test_chosen_devices(chosen: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert devices.visible_devices() == found


def test_devices_are_counted_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho '  MIG 1g'\necho 'GPU 1: A (UUID: GPU-2)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.visible_devices() == ["0", "1"]
    program.unlink()
    monkeypatch.setattr(devices, "DEVICE_FILES", tmp_path)
    assert devices.visible_devices() == []
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert devices.visible_devices() == ["0", "1"]
