"""W&B online without a login, or without a server: one message, before the model is built. No network is asked."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from peftrec.cli.main import main
from peftrec.errors import SettingsError
from peftrec.jobs.isolation import Job
from peftrec.jobs.sweep import Sweep
from peftrec.settings.run import LoggerSettings
from peftrec.trackers.wandb_login import check_login
from peftrec.training.run.pipeline import train_run
from small_runs import small_config, small_settings

pytestmark = pytest.mark.integration

wandb = pytest.importorskip("wandb")
ONLINE = LoggerSettings(wandb="online")


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """W&B as it starts for a user who never logged in, whose server is not there."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    wandb.teardown()
    yield monkeypatch
    wandb.teardown()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def refused(*, verifies: bool = False) -> str:
    with pytest.raises(SettingsError) as caught:
        check_login(ONLINE, verifies=verifies)
    message = str(caught.value)
    assert message.startswith("logger.wandb=online: ")
    assert message.endswith(", or set logger.wandb=offline, and `wandb sync` the run later")
    return message


class Refusing(BaseHTTPRequestHandler):
    """Is there, and takes no key."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_error(401)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(nobody: pytest.MonkeyPatch) -> Iterator[None]:
    """A server for W&B that refuses everything."""
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    nobody.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}")
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.usefixtures("server")
def test_without_a_login_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> None:
        raise AssertionError("the model was built")

    monkeypatch.setattr("peftrec.training.run.pipeline.assemble", build)
    with pytest.raises(SettingsError, match=r"No API key configured.*; run `wandb login`, or set logger\.wandb=off"):
        train_run(small_settings(tmp_path / "runs", "id", logger={"wandb": "online"}))
    assert not (tmp_path / "runs").exists(), "not even an empty folder"


def test_without_a_server(nobody: pytest.MonkeyPatch) -> None:
    nobody.setenv("WANDB_API_KEY", "a" * 40)
    message = refused()
    assert "online: http://127.0.0.1:" in message
    assert "does not answer ([Errno 111] Connection refused); set WANDB_BASE_URL to one that does" in message


@pytest.mark.usefixtures("server")
def test_a_variable_that_says_otherwise_is_named(nobody: pytest.MonkeyPatch) -> None:
    nobody.setenv("WANDB_MODE", "offline")
    assert "WANDB_MODE" in refused()


@pytest.mark.usefixtures("server")
def test_a_key_that_the_server_refuses(nobody: pytest.MonkeyPatch) -> None:
    nobody.setenv("WANDB_API_KEY", "a" * 40)
    check_login(ONLINE, verifies=False)
    wandb.teardown()
    assert "run `wandb login`" in refused(verifies=True)


@pytest.mark.parametrize(("variable", "value"), [("WANDB_BASE_URL", "x"), ("WANDB_MODE", "strange")])
def test_a_variable_that_w_and_b_cannot_read(nobody: pytest.MonkeyPatch, variable: str, value: str) -> None:
    nobody.setenv(variable, value)
    for mode in ("online", "offline"):
        with pytest.raises(SettingsError, match=f"validation error .* {variable[6:].lower()} .*correct the WANDB_ var"):
            check_login(LoggerSettings(wandb=mode), verifies=False)  # type: ignore[arg-type]


def test_a_user_without_a_home_folder_is_told_to_set_one(nobody: pytest.MonkeyPatch) -> None:
    nobody.delenv("WANDB_CONFIG_DIR")
    nobody.setattr(Path, "expanduser", no_home)
    with pytest.raises(
        SettingsError, match=r"wandb=offline: Could not determine home directory; set the variable HOME"
    ):
        check_login(LoggerSettings(wandb="offline"), verifies=False)


def no_home(path: Path) -> Path:
    if path.parts[:1] == ("~",):
        raise RuntimeError("Could not determine home directory.")
    return path


def test_a_refused_sweep_leaves_nothing(
    nobody: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody.chdir(tmp_path)
    before = {*tmp_path.rglob("*")}
    assert main(["train", "-m", "name=online", "strategy=id", "seed=1,2", "logger.wandb=online"]) == 2
    assert "does not answer" in capsys.readouterr().err
    assert {*tmp_path.rglob("*")} == before


def test_a_sweep_is_told_once_before_its_first_job(nobody: pytest.MonkeyPatch, tmp_path: Path) -> None:
    job = Job(label="id", overrides=[], config=small_config(tmp_path, "id", logger={"wandb": "online"}))
    with pytest.raises(SettingsError, match="does not answer"):
        Sweep().run_jobs([job, job], directory=tmp_path / "sweep", slots=1, module="none")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("mode", ["disabled", "offline"])
def test_nothing_is_asked_otherwise(nobody: pytest.MonkeyPatch, mode: str) -> None:
    check_login(LoggerSettings(wandb=mode), verifies=True)  # type: ignore[arg-type]
