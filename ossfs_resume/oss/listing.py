"""A page of a listing, read from XML, and whether it is what was asked for.

Whatever is not exactly right is an error, never data: a captive portal answers 200 with HTML, a
server that ignores the query names what nobody asked for, a page says that more follows but not
where. Neither a large nor a strange page may cost more than a page of OSS does.
"""

import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from sys import intern
from xml.etree import ElementTree

from ossfs_resume.errors import BadAnswer, OriginError
from ossfs_resume.oss.columns import INT64, Objects, keys_of
from ossfs_resume.oss.encoding import key_bytes, may_declare, percent_decode
from ossfs_resume.oss.headers import possible_size, possible_time, unquoted
from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.oss.paging import MARKER

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,18}(Z|[+-][0-9:]{4,5})?")

CONTENTS, PREFIXES = "Contents", "CommonPrefixes"

_QUOTE = '(?:&quot;|")?'
_USUAL = re.compile(
    "<Contents>"
    + "".join(
        rf"\s*<{name}>{text}</{name}>"
        for name, text in (
            ("Key", "([^<&]*)"),
            ("LastModified", "([^<&]*)"),
            ("ETag", _QUOTE + r"([^<&\"\s]*)" + _QUOTE),
            ("Type", "([^<&]*)"),
            ("Size", "([0-9]{1,20})"),
            ("StorageClass", "([^<&]*)"),
        )
    )
    + r"\s*(?:<Owner>\s*(?:<(ID|DisplayName)>[^<&]*</\7>\s*)*</Owner>\s*)?</Contents>\s*"
)
"""An entry as OSS writes it. A page of these is read in a third of the time that XML takes."""

_Columns = Sequence[list[str]]
"""The texts of all entries: keys, times, ETags, types, sizes, storage classes."""

MAX_LISTING_BYTES = 8 << 20
"""1000 keys of 1023 bytes, each byte encoded, with everything around them, are 4 MiB."""

MAX_LISTING_TAGS = 100_000
"""1000 entries of 20 elements with two tags each are 40 000. A tree of tiny elements takes
a hundred times the memory of its text."""


def parse_listing(body: bytes) -> ListPage:
    """An answer of ListObjectsV2 or ListObjects, every entry of it. Raises BadAnswer if it is
    anything else."""
    columns, rest = _usual_entries(body)
    root = _listing_root(rest)
    about = _texts(root)
    encoded = about.get("EncodingType", "").lower() == "url"
    if columns and about.get("KeyCount", "") != str(len(columns[0]) + len(_all(root, PREFIXES))):
        columns, root = [], _listing_root(body)
    try:
        objects: Sequence[ObjectMeta] = (
            _usual(columns, encoded)
            if columns
            else tuple(_listed(_texts(each), encoded) for each in _all(root, CONTENTS))
        )
        groups = map(_texts, _all(root, PREFIXES))
        prefixes = tuple(_text(group["Prefix"], encoded) for group in groups)
    except (KeyError, ValueError) as error:
        raise BadAnswer(f"an entry of the listing cannot be understood: {error!r}") from error
    return ListPage(objects, prefixes, _next_token(about, encoded, objects, prefixes))


def check_listing(page: ListPage, prefix: str, delimiter: str) -> ListPage:
    """``page`` as it is. Raises BadAnswer if it names what was not asked for: one who ignores the
    query would make every name a directory."""
    names = [*keys_of(page.objects), *page.prefixes]
    for name, is_below in zip(names, map(str.startswith, names, repeat(prefix)), strict=True):
        if not is_below:
            raise BadAnswer(f"the listing of {prefix!r} names {name[:100]!r}")
    for name in page.prefixes:
        if not delimiter or not name.endswith(delimiter) or len(name) <= len(prefix):
            raise BadAnswer(f"the listing of {prefix!r} names the directory {name[:100]!r}")
    return page


def _usual_entries(body: bytes) -> tuple[_Columns, bytes]:
    """The texts of all entries, and the document without them; no texts, and all of it, where
    one entry is not as usual."""
    if b"<!" in body or b"<Contents>" not in body:
        return [], body
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError:
        return [], body
    # What is between the entries, then the groups of one, then what is behind it, and so on.
    pieces = _USUAL.split(text)
    step = _USUAL.groups + 1
    rest = "".join(pieces[::step])
    if "<Contents" in rest:
        return [], body
    return [pieces[group::step] for group in range(1, 7)], rest.encode()


def _usual(columns: _Columns, encoded: bool) -> Objects:
    keys, modified, etags, types, sizes, classes = columns
    possible_size(max(sizes, key=int))
    return Objects(
        _decoded(keys) if encoded else keys,
        array(INT64, map(int, sizes)),
        etags,
        array(INT64, map(_unix_seconds, modified)),
        list(map(intern, types)),
        list(map(intern, classes)),
    )


def _decoded(keys: list[str]) -> list[str]:
    """Percent-decoded. Most keys hold no escape but that of the slash, which goes all at once."""
    parts = "\n".join(keys).replace("%2F", "/").split("\n")
    return list(map(percent_decode, parts if len(parts) == len(keys) else keys))


@lru_cache(maxsize=256)
def _local_name(tag: str) -> str:
    """The name of an element alone: namespaces come and go between servers."""
    return tag.rpartition("}")[2]


def _texts(element: ElementTree.Element) -> dict[str, str]:
    """The texts of the children by name, in one pass: a listing has ten thousand of them."""
    return {_local_name(child.tag): child.text or "" for child in element}


def _all(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if _local_name(child.tag) == name]


def _listing_root(body: bytes) -> ElementTree.Element:
    if may_declare(body):
        raise BadAnswer("the listing is not one of OSS: it holds a declaration")
    if body.count(b"<") > MAX_LISTING_TAGS:
        raise BadAnswer("the listing is not one of OSS: it holds too many elements")
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # or an odd encoding
        raise BadAnswer(f"the listing is not XML: {error}: {body[:64]!r}") from error
    if _local_name(root.tag) != "ListBucketResult":
        raise BadAnswer(f"a listing was asked for, a {_local_name(root.tag)} came")
    return root


def _listed(entry: Mapping[str, str], encoded: bool) -> ObjectMeta:
    return ObjectMeta(
        key=_text(entry["Key"], encoded),
        size=possible_size(entry["Size"]),
        etag=unquoted(entry.get("ETag", "")),
        modified=_unix_seconds(entry["LastModified"]),
        # One text for a million objects, instead of one for each.
        object_type=intern(entry.get("Type", "")),
        storage_class=intern(entry.get("StorageClass", "")),
    )


@lru_cache(maxsize=1024)
def _unix_seconds(text: str) -> int:
    """Of an ISO 8601 time; many objects are of one upload. Raises ValueError."""
    text = text.strip()
    if not _ISO_DATE.fullmatch(text):
        raise ValueError(f"not a date: {text[:40]!r}")
    return possible_time(datetime.fromisoformat(text))


def _next_token(
    about: Mapping[str, str],
    encoded: bool,
    objects: Sequence[ObjectMeta],
    prefixes: Iterable[str],
) -> str:
    """Where the next page begins.

    A server that knows only ListObjects (V1) ignores ``list-type`` and answers without KeyCount and
    NextContinuationToken; from there on it is asked with markers (oss-protocol section 3.2), which
    are the last name of a page where the server tells none.
    """
    if about.get("IsTruncated", "").strip().lower() != "true":
        return ""
    if token := _text(about.get("NextContinuationToken", ""), encoded):
        return token
    marker = _text(about.get("NextMarker", ""), encoded)
    marker = marker or max([*keys_of(objects), *prefixes], key=key_bytes, default="")
    if not marker or about.get("KeyCount", ""):
        # Going on without either would list the first page for ever.
        raise OriginError("the server says that the listing goes on but not where")
    return MARKER + marker


def _text(text: str, encoded: bool) -> str:
    return percent_decode(text) if encoded else text
