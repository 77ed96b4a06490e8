"""Whether W&B knows the user and its server answers, asked before anything expensive: it would find out by itself when
the model is built, and after a minute and a half of asking again."""

from peftrec.errors import SettingsError
from peftrec.settings.run import LoggerSettings
from peftrec.trackers.reaching import NotReachedError, reach
from peftrec.trackers.tracker import explain

ASKED = "logger.wandb=online"
OTHERWISE = "set logger.wandb=offline, and `wandb sync` the run later"


def check_login(settings: LoggerSettings, *, verifies: bool, asked: str = ASKED, otherwise: str = OTHERWISE) -> None:
    """Raise SettingsError where W&B cannot start here; where runs are to be sent to it and nobody is logged in or its
    server does not answer; and, if it `verifies`, where the server refuses the key. That starts a process of W&B's.

    `asked` is who wants to send something, and `otherwise` what can be done without.
    """
    if settings.wandb == "disabled":
        return
    server = _server(settings)
    if settings.wandb == "offline":
        return
    import wandb

    try:
        reach(server)
        is_logged_in = wandb.login(verify=verifies)
    except wandb.Error as error:
        raise SettingsError(f"{asked}: {server}: {explain(error)}; run `wandb login`, or {otherwise}") from error
    except NotReachedError as error:
        raise SettingsError(f"{asked}: {error}; set WANDB_BASE_URL to one that does, or {otherwise}") from error
    if not is_logged_in:
        what = "a variable (WANDB_MODE), or an answer, tells W&B otherwise; correct that"
        raise SettingsError(f"{asked}: {what}, or {otherwise}")


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
