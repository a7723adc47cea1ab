""" """

from hypothesis import example, given
from hypothesis import strategies as st

from ossfs_resume.oss.models import ListPage, ObjectMeta
from ossfs_resume.vfs.names import (
    NameMerger,
    NamesDigest,
    decode,
    directory_prefix,
    encode,
    is_possible,
    is_representable,
    parent_prefix,
    shadowed,
)

LONG = "l" * 250

# Few and colliding pieces: neighbours of "/" in byte order, the shadow's suffix, odd components.
PIECES = st.sampled_from(
    ["a", "b", "-", "~", "/", "//", "~object", ".", "..", "\0", "0", " ", "é", "\udcff", LONG, ""]
)
KEYS = st.dictionaries(
    st.lists(PIECES, min_size=1, max_size=6).map("".join).filter(bool),
    st.integers(min_value=0, max_value=2),
    max_size=12,
)


def pages(sizes: dict[str, int], prefix: str, lengths: list[int]) -> list[ListPage]:
    """The delimited listing of ``prefix``, cut into pages of the given lengths (0 is allowed)."""
    entries: dict[str, ObjectMeta | None] = {}
    for key, size in sizes.items():
        if key.startswith(prefix):
            head, slash, _ = key[len(prefix) :].partition("/")
            is_object = not slash
            entries[prefix + head + slash] = ObjectMeta(key, size, "E", 0) if is_object else None
    rest = sorted(entries, key=encode)
    result = []
    for length in [*lengths, len(rest)]:
        taken, rest = rest[:length], rest[length:]
        result.append(
            ListPage(
                tuple(meta for key in taken if (meta := entries[key]) is not None),
                tuple(key for key in taken if entries[key] is None),
                "more",
            )
        )
    last = result.pop()
    return [*result, ListPage(last.objects, last.prefixes)]


def naive_directory(sizes: dict[str, int], prefix: str) -> dict[bytes, str]:
    """Name to key (a prefix for a directory), by looking at all keys at once."""
    below = {encode(key)[len(encode(prefix)) :] for key in sizes if key.startswith(prefix)}
    directories = {name.split(b"/")[0] for name in below if b"/" in name}
    directories = {name for name in directories if naive_is_legal(name)}
    files = {name for name in below if b"/" not in name and naive_is_legal(name)}
    result = {name: prefix + decode(name) + "/" for name in directories}
    result |= {name: prefix + decode(name) for name in files - directories}
    for name in files & directories:
        shadow = name + b"~object"
        key = prefix + decode(name)
        if sizes[key] and shadow not in files | directories and naive_is_legal(shadow):
            result[shadow] = key
    return result


def naive_is_legal(name: bytes) -> bool:
    return 1 <= len(name) <= 255 and name not in (b".", b"..") and 0 not in name


def merge(prefix: str, listing: list[ListPage]) -> tuple[dict[bytes, str], NameMerger, int]:
    merger, emitted, count = NameMerger(prefix), {}, 0
    for page in listing:
        for name, source in zip(*merger.add(page), strict=True):
            meta = page.objects[source] if isinstance(source, int) else source
            emitted[name] = meta.key if meta else prefix + decode(name) + "/"
            count += 1
    return emitted, merger, count


@given(KEYS, st.lists(st.integers(0, 3), max_size=8), st.sampled_from(["", "a/", "b/a/"]))
@example({"a": 1, "a-1": 1, "a/b": 1}, [1, 0, 1], "")
@example({"a": 1, "a/b": 1, "a~object": 1, "a~object/c": 1}, [1, 1, 1], "")
@example({"a": 1, "a/b": 1, "a~object/c": 0}, [1, 1], "")
@example({"a": 1, "a0": 1, "a/b": 1, "a~objec": 2, "a~objec/": 0}, [1], "")
@example({LONG: 1, LONG + "/x": 1}, [], "")
def test_pages_cut_anywhere_give_the_names_of_the_whole_tree(
    sizes: dict[str, int], lengths: list[int], prefix: str
) -> None:
    emitted, _, count = merge(prefix, pages(sizes, prefix, lengths))
    assert emitted == naive_directory(sizes, prefix)
    assert count == len(emitted), "a name was emitted twice"


@given(KEYS, st.lists(st.integers(0, 3), max_size=8))
def test_every_emitted_path_maps_back_to_its_key(sizes: dict[str, int], lengths: list[int]) -> None:
    emitted, _, _ = merge("", pages(sizes, "", lengths))
    for name, key in emitted.items():
        base = shadowed(name)
        is_shadow = (
            base is not None and key == decode(base) and decode(base) + "/" in {*emitted.values()}
        )
        assert is_representable(name)
        assert is_shadow or key in (decode(name), decode(name) + "/")


@given(KEYS, st.lists(st.integers(0, 3), max_size=8))
def test_a_name_the_listing_has_passed_is_never_emitted_later(
    sizes: dict[str, int], lengths: list[int]
) -> None:
    merger, seen, probes = NameMerger(""), set(), naive_directory(sizes, "")
    denied: set[bytes] = set()
    for page in pages(sizes, "", lengths):
        seen |= set(merger.add(page)[0])
        assert not seen & denied
        denied |= {name for name in probes if merger.has_passed(name) and name not in seen}
    assert not denied
    assert all(merger.has_passed(name) for name in (b"zz", *probes))


@given(KEYS)
def test_hidden_keys_are_exactly_those_without_a_path(sizes: dict[str, int]) -> None:
    emitted, merger, _ = merge("", pages(sizes, "", []))
    shown = set(emitted.values())
    tops = {key.split("/")[0] + "/" if "/" in key else key for key in sizes}
    hidden = {
        top for top in tops - shown if not (top in sizes and sizes[top] == 0 and top + "/" in shown)
    }
    assert sorted(merger.take_hidden()) == sorted(hidden)
    assert merger.take_hidden() == []


def test_an_object_is_held_back_until_a_directory_of_its_name_is_ruled_out() -> None:
    merger = NameMerger("")
    first = ListPage((ObjectMeta("a", 1, "E", 0), ObjectMeta("a-1", 1, "E", 0)), (), "more")
    assert merger.add(first) == ([], [])
    names, _ = merger.add(ListPage((ObjectMeta("b", 1, "E", 0),), (), "more"))
    assert names == [b"a-1", b"a"]
    assert merger.add(ListPage((), ()))[0] == [b"b"]


def test_the_marker_of_the_directory_is_kept_and_not_an_entry() -> None:
    listing = pages({"d/": 0, "d/x": 1}, "d/", [])
    emitted, merger, _ = merge("d/", listing)
    assert emitted == {b"x": "d/x"}
    assert merger.marker is not None
    assert merger.marker.key == "d/"
    assert merger.take_hidden() == []


def test_a_marker_with_content_is_reported_as_hidden() -> None:
    _, merger, _ = merge("d/", pages({"d/": 2}, "d/", []))
    assert merger.take_hidden() == ["d/"]


def test_prefixes_of_directories() -> None:
    assert [directory_prefix(path) for path in ("", "a", "a/", "a/b")] == ["", "a/", "a/", "a/b/"]
    assert [parent_prefix(key) for key in ("a", "a/", "a/b", "a/b/")] == ["", "", "a/", "a/"]


def test_only_the_suffix_makes_a_shadow_of_a_name() -> None:
    assert shadowed(b"a~object") == b"a"
    assert shadowed(b"a~object~object") == b"a~object"
    assert [shadowed(name) for name in (b"a", b"~object", b"..~object")] == [None] * 3


def test_a_key_longer_than_the_origin_accepts_is_impossible() -> None:
    assert is_possible("é" * 511)
    assert not is_possible("é" * 512)


@given(st.binary(max_size=20))
def test_any_bytes_survive_as_a_key(name: bytes) -> None:
    assert encode(decode(name)) == name


@given(st.lists(st.lists(st.binary(min_size=1)), max_size=4))
def test_the_digest_of_names_does_not_depend_on_their_pages(pages: list[list[bytes]]) -> None:
    paged, whole = NamesDigest(), NamesDigest()
    for page in pages:
        paged.add(page)
    whole.add([name for page in pages for name in page])
    assert paged.value() == whole.value()
    assert (paged.value() == NamesDigest().value()) == (not any(pages))
