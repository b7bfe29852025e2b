"""A launch in an LMS's frame where third-party cookies are blocked: by platform storage, by a partitioned cookie, in a
window of its own. Each with the keyboard, on a narrow screen, and without scripts where that can be."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Frame, Page, expect
from responses import RequestsMock

from tests.browser.conftest import GATEWAY, LMS, Opened, Street
from tests.registrants import Registrant

pytestmark = pytest.mark.browser
IN_FRAMES, EVERYWHERE = f"https://{LMS}:443", "*"  # where the gateway's cookies are blocked altogether


def course(page: Page) -> Page:
    page.goto(f"https://{LMS}/course")
    return page


def tool(page: Page) -> Frame:
    frame = page.frame("tool")
    assert frame is not None
    return frame


def tiers(street: Street) -> list[str]:
    """How the browsers of the launches were known; the first launch is the lesson's own, by cookie."""
    with street.world.office.database.open_school(street.world.places["A"]) as session:
        rows = session.rows("SELECT facts FROM launch WHERE district = %(district)s AND school = %(school)s")
    found = sorted(row.facts["tier"] for row in rows)
    found.remove("cookie")
    return found


def fits(frame: Frame | Page, width: int) -> bool:
    return bool(frame.evaluate("document.documentElement.scrollWidth") <= width)


def test_third_party_cookies_are_blocked_here(street: Street, browse: Opened) -> None:
    """Otherwise the tests below would prove nothing."""
    page = browse()
    page.route(f"https://{GATEWAY}/plain", lambda route: route.fulfill(
        body="<!doctype html><title>x</title>", headers={"Content-Type": "text/html"}))  # fmt: skip
    page.goto(f"https://{LMS}/picked-nowhere")
    page.set_content(f'<iframe name="tool" src="https://{GATEWAY}/plain"></iframe>')
    tool(page).wait_for_load_state()
    tried = "(word) => { document.cookie = word; const kept = document.cookie; return kept; }"
    assert "plain" not in tool(page).evaluate(tried, "plain=1; Secure; SameSite=None; path=/")
    assert "apart" in tool(page).evaluate(tried, "apart=1; Secure; SameSite=None; Partitioned; path=/")


def test_platform_storage_lets_in_who_keeps_no_cookie_at_all(street: Street, browse: Opened) -> None:
    street.storage = True
    page = course(browse(blocked=EVERYWHERE, width=320))
    expect(page.frame_locator("[name=tool]").get_by_role("heading", name="You are in")).to_be_visible()
    assert tiers(street) == ["storage"]


def test_platform_storage_that_answers_in_text_does_too(street: Street, browse: Opened) -> None:
    street.storage = street.in_text = True
    page = course(browse(blocked=EVERYWHERE))
    expect(page.frame_locator("[name=tool]").get_by_role("heading", name="You are in")).to_be_visible()
    assert tiers(street) == ["storage"]


def test_a_partitioned_cookie_lets_in_where_the_lms_keeps_nothing(street: Street, browse: Opened) -> None:
    page = course(browse())
    expect(page.frame_locator("[name=tool]").get_by_role("heading", name="You are in")).to_be_visible()
    assert tiers(street) == ["cookie"]


def test_a_window_of_its_own_is_the_last_way_and_the_keyboard_opens_it(street: Street, browse: Opened) -> None:
    page = course(browse(blocked=IN_FRAMES, width=320))
    button = page.frame_locator("[name=tool]").get_by_role("button", name="Open in a new window")
    expect(button).to_be_focused()
    assert fits(tool(page), 320)
    with page.context.expect_page() as opened:
        page.keyboard.press("Enter")
    expect(opened.value.get_by_role("heading", name="You are in")).to_be_visible()
    assert len(street.arrived) == 1
    assert tiers(street) == ["cookie"]


def test_storage_that_answers_with_nothing_lets_nobody_in(street: Street, browse: Opened) -> None:
    """An LMS that promises storage and does not keep: the page says so, and the gate stays shut."""
    street.storage = street.forgets = True
    page = course(browse(blocked=EVERYWHERE))
    expect(page.frame_locator("[name=tool]").get_by_text("The LMS did not answer")).to_be_visible()
    assert street.arrived == []


def test_without_scripts_links_and_buttons_do_the_same(street: Street, browse: Opened) -> None:
    page = course(browse(scripts=False, width=320))
    frame = page.frame_locator("[name=tool]")
    expect(frame.get_by_role("button", name="Open in a new window")).to_be_visible()
    frame.get_by_role("link", name="Try here all the same").press("Enter")
    frame.get_by_role("button", name="Continue").press("Enter")
    expect(frame.get_by_role("heading", name="You are in")).to_be_visible()
    assert tiers(street) == ["cookie"]


def test_a_teacher_picks_an_activity_with_the_keyboard_alone(street: Street, browse: Opened) -> None:
    street.claims = street.lesson.lms.picking("tA", accept_multiple=False)
    page = course(browse(width=320))
    frame = page.frame_locator("[name=tool]")
    expect(frame.get_by_role("heading", name="Choose an activity")).to_be_visible()
    assert fits(tool(page), 320)
    frame.get_by_role("radio", name=re.compile("Check")).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(frame.get_by_role("heading", name="Added")).to_be_visible()
    assert len(street.picked) == 1


def test_a_teacher_links_a_course_with_the_keyboard_alone(street: Street, browse: Opened) -> None:
    lms = street.lesson.lms
    context = {"https://purl.imsglobal.org/spec/lti/claim/context": {"id": "course-9", "title": "Geometry"}}
    street.claims = lms.message("tA", "Instructor") | context
    page = course(browse(width=320))
    frame = page.frame_locator("[name=tool]")
    expect(frame.get_by_role("heading", name="Which class is this course?")).to_be_visible()
    assert fits(tool(page), 320)
    frame.get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(frame.get_by_role("heading", name="Linked to Class kA")).to_be_visible()


def test_a_failed_launch_is_readable_on_a_narrow_screen(street: Street, browse: Opened) -> None:
    street.member = "p99"
    page = course(browse(width=320))
    frame = page.frame_locator("[name=tool]")
    expect(frame.get_by_role("heading", name="The activity did not open")).to_be_visible()
    expect(frame.locator("[aria-current=step]")).to_have_text(re.compile("Failed here"))
    assert fits(tool(page), 320)


def test_what_an_lms_granted_is_readable_on_a_narrow_screen(street: Street, browse: Opened, wire: RequestsMock) -> None:
    lms = Registrant(wire).serve()
    shown = lms.opens(street.world, lms.invited(street.world, "A"))
    page = browse(width=320)
    page.route(f"https://{GATEWAY}/registered", lambda route: route.fulfill(body=shown.text, content_type="text/html"))
    page.goto(f"https://{GATEWAY}/registered")
    expect(page.get_by_role("heading", name="What was asked for, and what was granted")).to_be_visible()
    assert fits(page, 320)
