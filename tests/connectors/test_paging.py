"""A roster comes whole or the reading says that it did not."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.egress import answer_json, require_success
from connectors.errors import AnswerRefused, AnswerUnreadable, ConnectorError
from connectors.paging import pages, parse_link
from tests.connectors.peer import by_path, reply

NEXT = "https://lms.example/p?page=bookmark:WyJBYmMiXQ&per_page=10"


def mojibake(text: str, codec: str) -> str:
    """What is read when UTF-8 is taken for `codec`."""
    return text.encode("utf-8").decode(codec, "replace")


@pytest.mark.parametrize(
    "header",
    [
        f'<{NEXT}>; rel="next"',
        f"<{NEXT}>; rel=next",
        f"<{NEXT}>; rel='next'",
        f"<{NEXT}>;rel=next",
        f"<{NEXT}> ; REL = NEXT",
        f'<{NEXT}>; rel="Next"',
        f"<{NEXT}>; rel=“next”",
        f"<{NEXT}>; rel=„next“",
        f"<{NEXT}>; rel=\x93next\x94",
        mojibake(f"<{NEXT}>; rel=“next”", "latin-1"),
        mojibake(f"<{NEXT}>; rel=“next”", "cp1252"),
        mojibake(mojibake(f"<{NEXT}>; rel=“next”", "latin-1"), "latin-1"),
        f"<{NEXT.replace('&', '&amp;')}>; rel=“next”",
        f'< {NEXT} >; rel="next"',
        f'<{NEXT}>;\r\n rel="next"',
        f'<{NEXT}>; title="page, 2"; rel="next"; type="application/json"',
        f'<{NEXT}>; rel="last next"',
        f'<{NEXT}>; rel="next"; rel="prev"',
        f'<https://lms.example/a>; rel="first",<{NEXT}>; rel="next", <https://lms.example/z>; rel=last',
        f"<https://lms.example/a,b;c>; rel=first,<{NEXT}>; rel=next",
        f'<https://lms.example/differences>; rel="differences", <{NEXT}>; rel="next"',
        f'<{NEXT}>; rel="next", <https://evil.example/>; rel="next"',
        f'<https://lms.example/x>; title="no relation", <{NEXT}>; rel="next"',
        f'<>; rel="next", <{NEXT}>; rel="next"',
    ],
)
def test_next_is_found(header):
    assert parse_link(header)["next"] == NEXT


@pytest.mark.parametrize(
    "header",
    ["", "next", "<", "<>", '<>; rel="next"', NEXT, f"<{NEXT}>", f'<{NEXT}>; rel=""', f"<{NEXT}>; rel",
     f'<{NEXT}>; rel="nextish"', f'<{NEXT}>; rev="next"', f"{NEXT}; rel=next", f"<{NEXT}; rel=next"],
)  # fmt: skip
def test_next_is_not_made_up(header):
    assert "next" not in parse_link(header)


def test_only_the_ampersand_is_unescaped():
    assert parse_link("<https://a.example/?a=1&copy=2&amp;lt=3>; rel=next")["next"] == (
        "https://a.example/?a=1&copy=2&lt=3"
    )


@given(st.text() | st.text(alphabet="<>;,=\"' relnext/?&"))
def test_no_header_breaks_the_parser(header):
    for relation, url in parse_link(header).items():
        assert relation == relation.lower() != ""
        assert url
        assert url not in (" ", "<", ">")


URLS = st.text(string.ascii_letters + string.digits + "/?&=:,;.%_-~!*'()", min_size=1)
RELATIONS = st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True)
QUOTES = st.sampled_from([('"', '"'), ("", ""), ("“", "”"), ("'", "'"), ("\x93", "\x94"), ("â\x80\x9c", "â\x80\x9d")])


@given(st.dictionaries(RELATIONS, URLS, max_size=6), QUOTES, st.sampled_from([", ", ",", " ,\r\n "]))
def test_what_is_written_is_read(links, quotes, comma):
    header = comma.join(f"<{url}>; rel={quotes[0]}{relation}{quotes[1]}" for relation, url in links.items())
    expected = {relation: url.replace("&amp;", "&") for relation, url in links.items()}
    assert parse_link(header) == expected


def fetching(session):
    return lambda url: require_success(session.get(url))


def read(lines, answers: dict[str, bytes], *, max_pages=20, first="/p", others=()) -> tuple[list, object]:
    """The pages that came, and the error that ended them or None."""
    peer = lines.peer(by_path(answers))
    session = lines.session("127.0.0.1", "localhost", *others)
    session.authorize(peer.url(), lambda: "Bearer x")
    got = []
    try:
        for page in pages(fetching(session), peer.url(first), answer_json, max_pages=max_pages):
            got.append(page)
    except ConnectorError as error:
        return got, error
    assert all(b"Authorization: Bearer x\r\n" in request for request in peer.requests)
    return got, None


def page(number: int, following: str | None = None, rel: str = 'rel="next"') -> bytes:
    headers = {"Link": f"<{following}>; {rel}"} if following else {}
    return reply(b"[%d]" % number, headers=headers)


def test_pages_are_followed_to_the_last(lines):
    answers = {
        "/p": page(1, "/p?Cursor=AbC"),
        "/p?Cursor=AbC": page(2, "?Cursor=aBc&amp;x=1", "rel=\x93next\x94"),
        "/p?Cursor=aBc&x=1": page(3, "q#top"),
        "/q": page(4),
    }
    assert read(lines, answers) == ([[1], [2], [3], [4]], None)


@pytest.mark.parametrize("rel", ["", "rel=prev", "rel=last; title=nextish"])
def test_a_single_page_needs_no_next(lines, rel):
    assert read(lines, {"/p": page(1, "/q", rel)}, max_pages=1) == ([[1]], None)


@pytest.mark.parametrize(
    "following",
    [
        "http://localhost:{port}/q",
        "http://127.0.0.1:1/q",
        "https://127.0.0.1:{port}/q",
        "http://evil.example/q",
        "//evil.example/q",
        "http://127.0.0.1:{port}@evil.example/q",
        "http://user@127.0.0.1:{port}/q",
        "http://127.0.0.1:{port}\\@evil.example/q",
        "http://2130706433:{port}/q",
        "http://127.1:{port}/q",
        "file:///etc/passwd",
        "ftp://127.0.0.1:{port}/q",
        "javascript:alert(1)",
        "http://[::1",
        "http://",
    ],
)
def test_next_at_another_origin_ends_the_reading(lines, following):
    holder: dict[str, bytes] = {"/q": page(2)}
    peer = lines.peer(by_path(holder))
    holder["/p"] = page(1, following.format(port=peer.port))
    session = lines.session("127.0.0.1", "localhost", "evil.example", "127.1", "2130706433")
    session.authorize(peer.url(), lambda: "Bearer x")
    with pytest.raises(AnswerUnreadable):
        list(pages(fetching(session), peer.url("/p"), answer_json, max_pages=9))
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("answers", "came"),
    [
        ({"/p": page(1, "/p")}, 0),
        ({"/p": page(1, " ")}, 0),
        ({"/p": reply(b"[1]", headers={"Link": "/q; rel=next"})}, 0),
        ({"/p": reply(b"[1]", headers={"Link": "</q; rel='next'"})}, 0),
        ({"/p": page(1, "/q"), "/q": page(2, "/p")}, 1),
        ({"/p": page(1, "/q"), "/q": page(2, "/r"), "/r": page(3, "/q")}, 2),
        ({"/p": page(1, "/q"), "/q": page(1, "/r"), "/r": page(3)}, 1),
        ({"/p": page(1, "/q"), "/q": reply(b"<html>", headers={"Content-Type": "text/html"})}, 1),
        ({"/p": page(1, "/q"), "/q": reply(b"")}, 1),
        ({"/p": page(1, "/q"), "/q": reply(b"[2")}, 1),
    ],
)
def test_what_is_odd_ends_the_reading(lines, answers, came):
    got, error = read(lines, answers)
    assert isinstance(error, AnswerUnreadable)
    assert len(got) == came


def test_more_after_the_cap_ends_the_reading(lines):
    answers = {f"/p?n={n}": page(n, f"/p?n={n + 1}") for n in range(20)}
    got, error = read(lines, answers, max_pages=5, first="/p?n=0")
    assert isinstance(error, AnswerUnreadable)
    assert len(got) == 5


def test_a_page_that_is_refused_ends_the_reading_with_its_status(lines):
    got, error = read(lines, {"/p": page(1, "/q"), "/q": reply(b"", "429 Slow", {"Retry-After": "9"})})
    assert (got, type(error), error.status, error.retry_after) == ([[1]], AnswerRefused, 429, 9)
