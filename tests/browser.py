"""Debian's Chromium without a window, for tests of pages."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage")
SECONDS = 60
_TELL = "((name, value) => (parent.document.body.dataset[name] ??= JSON.stringify(value)))"
_TELL_ERRORS = f"addEventListener('error', (event) => {_TELL}('error', `${{event.message}}, line ${{event.lineno}}`))"
_TOLD = re.compile(r' data-(result|error)="([^"]*)"')
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def browser() -> str:
    """Return the browser's program; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser on this machine: {', '.join(NAMES)}")
    return found


def drive(page: Path, script: str, place: Path, *flags: str, width: int = 1280) -> Any:
    """Return what a script finds in a page that is so many pixels wide; the script is a function's body, and what it
    returns is JSON. The page lies in a frame: no window is as narrow as a phone."""
    place.mkdir()
    text = _POLICY.sub("", page.read_text())  # which lets no other script run
    text = text.replace("<head>", f"<head><script>{_TELL_ERRORS}</script>", 1)
    text = text.replace("</body>", f"<script>{_TELL}('result', (() => {{{script}}})())</script></body>")
    (place / "frame.html").write_text(
        f'<!DOCTYPE html><body><iframe width="{width}" height="900" srcdoc="{html.escape(text)}"></iframe></body>'
    )
    usual = ("--dump-dom", "--hide-scrollbars", "--window-size=1400,1000")
    told = dict(_TOLD.findall(_run(place, *usual, *flags, (place / "frame.html").as_uri())))
    assert "error" not in told, html.unescape(told["error"])
    return json.loads(html.unescape(told["result"]))


def printed(page: Path, place: Path) -> bytes:
    """Return a page as a PDF, on the paper that its style names."""
    place.mkdir()
    _run(place, "--no-pdf-header-footer", f"--print-to-pdf={place / 'page.pdf'}", page.as_uri())
    return (place / "page.pdf").read_bytes()


def _run(place: Path, *words: str) -> str:
    command = [browser(), *FLAGS, f"--user-data-dir={place / 'profile'}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
