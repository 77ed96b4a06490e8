"""The address of a service, taken before anything is loaded."""

import errno
import os
import socket

from peftrec.errors import SettingsError


def taken_port(host: str, port: int) -> socket.socket:
    """Bind a socket that does not listen yet. Raises SettingsError where the machine has no such address or port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise SettingsError(f"host={host}: this machine knows no such name ({error.strerror})") from error
    listener = socket.socket(family, kind, protocol)  # asyncio turns Nagle's algorithm off where the protocol is said
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise SettingsError(f"host={host}: {os.strerror(error.errno)}; this machine has no such address") from error
        raise SettingsError(
            f"port={port}: {os.strerror(error.errno or 0)}; name another port, or port=0 for a free one"
        ) from error
    return listener
