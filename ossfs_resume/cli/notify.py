"""What a service manager is told: sd_notify(3), one datagram to the socket that it names.

Outside of a service, where NOTIFY_SOCKET is not set, nothing is told.
"""

import os
import socket
from contextlib import suppress


def notify(**fields: str) -> None:
    """Send ``READY="1"``, ``STOPPING="1"``, ``STATUS="..."``; a manager that is gone is no error.

    Never waits: a manager whose socket is full misses a message.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    message = "\n".join(f"{name}={' '.join(text.split())}" for name, text in fields.items())
    flags = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with suppress(OSError), socket.socket(socket.AF_UNIX, flags) as manager:
        manager.connect(address)
        manager.send(message.encode("utf-8", "backslashreplace"))
