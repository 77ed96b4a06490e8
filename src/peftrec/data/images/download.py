"""One picture by its address: bounded in bytes and seconds, whatever the server does."""

import http.client
import re
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit, urlunsplit

from peftrec import __version__
from peftrec.data.images.connections import Connections

USER_AGENT = f"peftrec/{__version__} (images fetch)"
WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that can be other ones later (RFC 9110, RFC 6585, RFC 8470)."""
OK = 200
BLOCK = 2**16
UNRESERVED = "/%:=&?~+!$,;'@()*[]"
"""What stays as it is in a path and a query; anything else that is no letter or digit is escaped."""
FORBIDDING = re.compile(r"\bno(?:image)?ai\b", re.IGNORECASE)
"""In `X-Robots-Tag`: the owner wants no use for machine learning (the convention that img2dataset honours too)."""


class FetchError(Exception):
    """A picture could not be had; `reason` is one line."""

    def __init__(self, reason: str, *, is_final: bool = True, is_silence: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = " ".join(reason.split())
        self.is_final = is_final
        """Whether another try now would end the same."""
        self.is_silence = is_silence
        """Whether the server gave no answer at all."""
        self.wait = wait
        """Seconds that the server asked to be left alone."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one download may take."""

    max_bytes: int = 2**24
    seconds: float = 60.0
    """From the first byte that is sent to the last that is read, redirections included."""
    silent_seconds: float = 10.0
    """Without a byte."""


class Downloader:
    """Downloads, in any number of threads; `stop` ends all that are under way."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._tls = ssl.create_default_context()
        self._under_way: set[Connections] = set()
        self._lock = threading.Lock()

    def download(self, address: str) -> bytes:
        """Return what lies at an address of http or https. Raises FetchError."""
        url = plain_address(address)
        with self._watched() as watch:
            opener = watch.opener(self._tls)
            request = urllib.request.Request(
                url, headers={"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"}
            )
            try:
                with opener.open(request, timeout=self.limits.silent_seconds) as response:
                    return self._body(response, watch)
            except HTTPError as error:
                error.close()
                raise _refused(error) from error
            except (URLError, OSError, http.client.HTTPException, ValueError) as error:
                raise self._broken(error, watch) from error

    def stop(self) -> None:
        """End all downloads under way."""
        with self._lock:
            for watch in self._under_way:
                watch.expire()

    @contextmanager
    def _watched(self) -> Iterator[Connections]:
        watch = Connections()
        timer = threading.Timer(self.limits.seconds, watch.expire)
        timer.daemon = True
        with self._lock:
            self._under_way.add(watch)
        timer.start()
        try:
            yield watch
        finally:
            timer.cancel()
            with self._lock:
                self._under_way.discard(watch)

    def _check(self, response: Any) -> None:
        """Refuse what the first lines of an answer say."""
        if response.status != OK:
            raise FetchError(f"the server answered {response.status}")
        if FORBIDDING.search(", ".join(response.headers.get_all("X-Robots-Tag", []))):
            raise FetchError("its owner wants no use for machine learning (X-Robots-Tag)")
        if (encoding := response.headers.get("Content-Encoding", "identity").lower()) != "identity":
            raise FetchError(f"the server sends it compressed ({encoding[:20]!r}), which was not asked for")
        if response.length is not None and response.length > self.limits.max_bytes:
            raise self._too_large()

    def _body(self, response: Any, watch: Connections) -> bytes:
        self._check(response)
        content = bytearray()
        while block := response.read(BLOCK):
            content += block
            if len(content) > self.limits.max_bytes:
                raise self._too_large()
        if watch.is_expired:
            raise self._too_slow()
        if response.length:
            raise FetchError(f"broke off {response.length} bytes before its end", is_final=False)
        return bytes(content)

    def _too_large(self) -> FetchError:
        return FetchError(f"more than max_bytes={self.limits.max_bytes} bytes")

    def _too_slow(self) -> FetchError:
        return FetchError(f"took more than {self.limits.seconds:g} seconds", is_final=False)

    def _broken(self, error: Exception, watch: Connections) -> FetchError:
        if watch.is_expired:
            return self._too_slow()
        cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
        if isinstance(cause, TimeoutError):
            reason = f"no byte for {self.limits.silent_seconds:g} seconds"
            return FetchError(reason, is_final=False, is_silence=True)
        is_final = isinstance(cause, ssl.SSLCertVerificationError | ValueError | http.client.InvalidURL)
        named = str(cause) or type(cause).__name__
        return FetchError(named[:200], is_final=is_final, is_silence=isinstance(cause, OSError))


def plain_address(address: str) -> str:
    """Return an address with everything escaped that a request cannot hold. Raises FetchError for what is no address
    of http or https."""
    try:
        parts = urlsplit(address.strip())
        host = (
            (parts.hostname or "").encode("idna").decode() if not (parts.hostname or "").isascii() else parts.hostname
        )
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError as error:
        raise FetchError(f"no address ({error})") from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise FetchError("no address of http or https" if address.strip() else "no address")
    named = f"[{host}]" if ":" in host else host
    path, query = (quote(part, safe=UNRESERVED) for part in (parts.path or "/", parts.query))
    return urlunsplit((parts.scheme, f"{named}{port}", path, query, ""))


def _refused(error: HTTPError) -> FetchError:
    wait = _retry_after(error.headers.get("Retry-After"))
    return FetchError(f"the server answered {error.code}", is_final=error.code not in WORTH_ANOTHER_TRY, wait=wait)


def _retry_after(value: str | None) -> float:
    """Return the seconds of a `Retry-After`: a number, or a date."""
    if value is None:
        return 0.0
    if value.strip().isdecimal():
        return float(value)
    with suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(value)
        return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    return 0.0
