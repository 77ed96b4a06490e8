"""Lets a command that names `peftrec.testing` give its options.

pytest reads the command line before it loads the conftest.py of a package that `--pyargs` names. This module is the one
that the distribution announces to pytest; every other command of an environment is left without our options.
"""

import importlib

import pytest

TESTS = "peftrec.testing"
OPTIONS = f"{TESTS}.options"


def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Load the options where the command names the contract tests."""
    words = set(args) - {__name__}  # what `-p` may name
    if any(word == TESTS or word.startswith((f"{TESTS}.", f"{TESTS}::")) for word in words):
        options = importlib.import_module(OPTIONS)
        early_config.pluginmanager.register(options, OPTIONS)
