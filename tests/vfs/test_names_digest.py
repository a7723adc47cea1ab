from hypothesis import given
from hypothesis import strategies as st

from ossfs_resume.vfs.names_digest import NamesDigest


@given(st.lists(st.lists(st.binary(min_size=1)), max_size=4))
def test_the_digest_of_names_does_not_depend_on_their_pages(pages: list[list[bytes]]) -> None:
    paged, whole = NamesDigest(), NamesDigest()
    for page in pages:
        paged.add(page)
    whole.add([name for page in pages for name in page])
    assert paged.value() == whole.value()
    assert (paged.value() == NamesDigest().value()) == (not any(pages))
