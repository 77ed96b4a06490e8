"""Whether a tracker's server answers, asked before anything expensive: trackers ask again for minutes."""

import http.client
import ssl
import urllib.error
import urllib.request

SECONDS = 5
"""In which a server must answer."""


class NotReachedError(Exception):
    """What a server, or who asks it, has in the way."""


def reach(server: str) -> None:
    """Raise NotReachedError unless a server answers, whatever it says."""
    try:
        with urllib.request.urlopen(server, timeout=SECONDS):
            return
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # it answers, and the tracker may know certificates that Python does not
        raise NotReachedError(f"{server} does not answer ({reason})") from error
