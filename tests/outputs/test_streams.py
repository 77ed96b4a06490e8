"""What the command line prints: safe, in any encoding, and into a pipe that nobody reads any more."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.errors import UserError
from peftrec.outputs.streams import SafeStream, beneath, safe_streams


def written(*texts: str, encoding: str = "utf-8", keeps_returns: bool = False) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    safe = SafeStream(stream, keeps_returns=keeps_returns)
    for text in texts:
        print(text, end="", file=safe)
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_what_a_terminal_would_obey_is_shown() -> None:
    assert written("\x1b[2Jtitle\r\n", "a\rb") == "\\u001b[2Jtitle\na\\rb"


def test_bars_of_downloads_may_return() -> None:
    assert written("\r10 %", "\r20 %\x1b[A", keeps_returns=True) == "\r10 %\r20 %\\u001b[A"


def test_a_terminal_without_the_characters_gets_others() -> None:
    assert written("┏━┓ 0.1 ± 0.2 größer", encoding="ascii") == "+-+ 0.1 +- 0.2 gr\\xf6\\xdfer"


def test_streams_are_put_back() -> None:
    before = sys.stdout, sys.stderr
    with safe_streams():
        assert beneath(sys.stdout) is before[0]
    assert (sys.stdout, sys.stderr) == before


def test_a_message_that_quotes_data_is_safe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(verb: str, arguments: list[str]) -> int:
        raise UserError("item '\x1b]0;mine\x07'")

    monkeypatch.setattr(cli, "run", fail)
    assert cli.main(["report", "x"]) == 2
    assert capsys.readouterr().err == "error: item '\\u001b]0;mine\\u0007'\n"


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["train", "--cfg"]])
def test_a_pipe_that_is_closed_is_no_traceback(words: list[str]) -> None:
    command = [sys.executable, "-m", "peftrec", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, b"")


def test_a_rich_bar_moves_the_cursor_of_the_terminal_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rich import get_console

    from peftrec.progress.terminal import give_bars_the_terminal

    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stdout", SafeStream(terminal, keeps_returns=False))
    give_bars_the_terminal()
    assert get_console().file is terminal
