"""What a picked link is called, and read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.lti_items import activity_link, read_activity_link

LAUNCH = "https://gateway.example/lti/launch"
IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,127}", fullmatch=True)


@given(IDS)
def test_a_link_to_an_activity_is_read_as_it_was_made(your_id):
    assert read_activity_link(activity_link(LAUNCH, your_id)) == (LAUNCH, your_id)


@given(st.text())
def test_whatever_is_read_as_a_link_to_an_activity_is_what_would_be_made_for_it(said):
    url, your_id = read_activity_link(said)
    assert said == (url if your_id is None else activity_link(url, your_id))


@pytest.mark.parametrize(
    "url", [LAUNCH, f"{LAUNCH}?activity=", f"{LAUNCH}?activity=a&b=c", f"{LAUNCH}?activity=%61", f"{LAUNCH}?a=b", ""]
)
def test_other_addresses_name_no_activity(url):
    assert read_activity_link(url) == (url, None)
