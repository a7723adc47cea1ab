"""Keys to paths and back.

A key is a *plain* path when every component can be a file name; any other key gets a *side* path:
the key percent-encoded and cut into names of `_CHUNK` characters. All but the last name end in
``+``, which the encoding never produces, so no side path is a directory of another.
"""

from urllib.parse import quote_from_bytes, unquote_to_bytes

SIDE_FOLDER = b".ossfs-emulator"
MAX_KEY_BYTES = 1023
_MAX_NAME_BYTES = 255
_CHUNK = 200


def plain_path(key: bytes) -> bytes | None:
    """Return the relative path that expresses ``key``, or None if no path does."""
    names = key.split(b"/")
    is_plain = names[0] != SIDE_FOLDER and b"\0" not in key and all(map(_is_name, names))
    return key if is_plain else None


def side_path(key: bytes) -> bytes:
    """Return the path of ``key`` relative to the side folder's keys; any key has one."""
    text = quote_from_bytes(key, safe="").replace(".", "%2E").encode()
    chunks = [text[i : i + _CHUNK] for i in range(0, len(text), _CHUNK)]
    return b"+/".join(chunks)


def side_key(path: bytes) -> bytes:
    """Return the key of a side path."""
    return unquote_to_bytes(path.replace(b"+/", b""))


def _is_name(name: bytes) -> bool:
    return 0 < len(name) <= _MAX_NAME_BYTES and name not in (b".", b"..")
