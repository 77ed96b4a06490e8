"""The connections of one download, and how they are ended from outside."""

import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Connections:
    """The connections of one download, which end when its time is over; a server that sends a byte now and then is
    else never done, and each byte is in time."""

    def __init__(self) -> None:
        self.is_expired = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def opener(self, context: ssl.SSLContext) -> urllib.request.OpenerDirector:
        """Return what opens addresses of http and https, through the proxies of the environment, and of nothing else:
        the usual one would let a server redirect to a file of this machine."""
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.UnknownHandler(),
            _HttpHandler(self.add),
            _HttpsHandler(self.add, context),
            urllib.request.HTTPDefaultErrorHandler(),
            _Redirections(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        return opener

    def add(self, opened: socket.socket) -> None:
        with self._lock:
            self._sockets.append(opened)
            if self.is_expired:
                _shut(opened)

    def expire(self) -> None:
        with self._lock:
            self.is_expired = True
            for opened in self._sockets:
                _shut(opened)


def _shut(opened: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(opened, socket.SHUT_RDWR)  # of the plain socket below TLS, which another thread reads


class _HttpHandler(urllib.request.HTTPHandler):
    def __init__(self, add: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self.connection = _told(http.client.HTTPConnection, add)

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self.connection, request)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self, add: Callable[[socket.socket], None], context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self.connection = _told(http.client.HTTPSConnection, add)
        self.context = context

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self.connection, request, context=self.context)


def _told(kind: type[http.client.HTTPConnection], add: Callable[[socket.socket], None]) -> Any:
    """Return connections of a kind whose sockets `add` is told of when they are open."""

    class Connection(kind):  # type: ignore[valid-type, misc]
        def connect(self) -> None:
            super().connect()
            add(self.sock)

    return Connection


class _Redirections(urllib.request.HTTPRedirectHandler):
    max_redirections = 5
