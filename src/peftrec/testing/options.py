"""Options of the contract tests: which parts are tested, and where a user's own lie."""

import pytest

from peftrec.code.user_code import open_door
from peftrec.errors import UserError
from peftrec.testing.parts import CHOSEN, KINDS, choose


def pytest_addoption(parser: pytest.Parser) -> None:
    """Each may be given more than once."""
    group = parser.getgroup("peftrec", "contract tests of peftrec (default: all parts of the package)")
    for kind in KINDS:
        group.addoption(
            option_of(kind), action="append", default=[], metavar="NAME", help=f"test this {kind.replace('_', ' ')}"
        )
    group.addoption(
        "--config-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="folder of your own code and of its yaml files; without names, all parts in it are tested",
    )
    group.addoption("--code", action="append", default=[], metavar="DIR", help="folder of your own code without yaml")
    group.addoption(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="key of the configuration, as in peftrec train"
    )


def option_of(kind: str) -> str:
    """Return the option that names parts of a kind."""
    return f"--{kind.replace('_', '-')}"


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Open the door to the user's folders, and find and check what is to be tested."""
    try:
        config.stash[CHOSEN] = choose(
            {kind: config.getoption(option_of(kind)) for kind in KINDS},
            code=config.getoption("--code"),
            config=config.getoption("--config-dir"),
            overrides=config.getoption("--set"),
        )
    except UserError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the door that was opened here: the process may run on."""
    if config.getoption("--code") or config.getoption("--config-dir"):
        open_door()
