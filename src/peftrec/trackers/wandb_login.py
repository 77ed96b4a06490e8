"""Whether W&B knows the user and its server answers, asked before anything expensive: it would find out by itself when
the model is built, and after a minute and a half of asking again."""

import http.client
import ssl
import urllib.error
import urllib.request

from peftrec.errors import SettingsError
from peftrec.settings.run import LoggerSettings
from peftrec.trackers.tracker import explain

SECONDS = 5
"""In which a server must answer."""


def check_login(settings: LoggerSettings, *, verifies: bool) -> None:
    """Raise SettingsError where W&B cannot start here; where runs are to be sent to it and nobody is logged in or its
    server does not answer; and, if it `verifies`, where the server refuses the key. That starts a process of W&B's."""
    if settings.wandb == "disabled":
        return
    server = _server(settings)
    if settings.wandb == "offline":
        return
    import wandb

    _reach(server)
    try:
        is_logged_in = wandb.login(verify=verifies)
    except wandb.Error as error:
        raise _refusal(f"{server}: {explain(error)}; run `wandb login`") from error
    if not is_logged_in:
        raise _refusal("a variable (WANDB_MODE), or an answer, tells W&B otherwise; correct that")


def _server(settings: LoggerSettings) -> str:
    try:
        import wandb

        return str(wandb.setup().settings.base_url)
    except ValueError as error:
        remedy = "correct the WANDB_ variable"
        raise SettingsError(f"logger.wandb={settings.wandb}: {explain(error)}; {remedy}") from error
    except RuntimeError as error:  # of pathlib: there is no home folder
        remedy = "set the variable HOME to a folder"
        raise SettingsError(f"logger.wandb={settings.wandb}: {explain(error)}; {remedy}") from error


def _refusal(what: str) -> SettingsError:
    return SettingsError(f"logger.wandb=online: {what}, or set logger.wandb=offline, and `wandb sync` the run later")


def _reach(server: str) -> None:
    try:
        with urllib.request.urlopen(server, timeout=SECONDS):
            return
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # it answers, and W&B may know certificates that Python does not
        raise _refusal(f"{server} does not answer ({reason}); set WANDB_BASE_URL to one that does") from error
