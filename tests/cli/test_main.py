"""The command line: verbs, exit statuses, and help that imports nothing heavy."""

import errno
import subprocess
import sys
from types import SimpleNamespace

import pytest

from peftrec import __version__
from peftrec.cli import main as cli
from peftrec.errors import DataError


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_verb(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in cli.VERBS)


def test_help_imports_neither_torch_nor_hydra() -> None:
    program = (
        "import sys; from peftrec.cli.main import main\n"
        "main(['--help']); main(['train', '--help']); main(['evaluate', '--help'])\n"
        "sys.exit(bool({'torch', 'hydra', 'omegaconf', 'pydantic', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, stdout=subprocess.DEVNULL).returncode == 0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"peftrec {__version__}\n"


def test_the_module_is_the_command() -> None:
    found = subprocess.run([sys.executable, "-m", "peftrec", "--version"], check=True, capture_output=True, text=True)
    assert found.stdout == f"peftrec {__version__}\n"


@pytest.mark.parametrize(("verb", "answer"), [("trian", "did you mean train?"), ("xyz", "choose one of train,")])
def test_unknown_verb_names_the_nearest(verb: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb]) == 2
    assert answer in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (DataError("items.tsv:3: two columns expected"), 2, "error: items.tsv:3: two columns expected\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x"),
            2,
            "error: runs/x: No space left on device; free space, and give the same command again\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs"),
            2,
            "error: runs: Permission denied; let this user read and write there, or name another place\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on from what is done\n"),
    ],
)
def test_errors_become_one_line_and_a_status(
    error: BaseException,
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(main=fail))
    assert cli.main(["train"]) == status
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("bug", [ZeroDivisionError(), OSError(errno.EBADF, "Bad file descriptor")])
def test_a_bug_keeps_its_traceback(bug: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> int:
        raise bug

    monkeypatch.setattr(cli, "import_module", lambda name: SimpleNamespace(main=fail))
    with pytest.raises(type(bug)):
        cli.main(["train"])


def test_train_lists_groups_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "paper/lora" in shown
    assert "quickstart" in shown


def test_train_refuses_unknown_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--multi"]) == 2
    assert "unknown flag --multi" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run is required: set run=RUN_DIR"),
        (["rum=x"], "rum=x: unknown to peftrec evaluate; did you mean run?"),
        (["run=a", "b"], "b: unknown to peftrec evaluate; see peftrec evaluate --help"),
        (["run="], "run=: give run a value"),
        (["run=a", "run=b"], "run=b: run is given twice"),
    ],
)
def test_evaluate_wants_one_run(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", *arguments]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_evaluate_names_a_missing_record(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", f"run={tmp_path}"]) == 2
    assert "no such record" in capsys.readouterr().err
