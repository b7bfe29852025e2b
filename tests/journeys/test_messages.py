"""What else a platform sends: a teacher picks what to link, looks at a pupil's work, links a course; somebody asks what
leaves; and somebody who may not be named takes part all the same."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest

from gateway import jobs
from gateway.errors import Refused
from gateway.flows import launch, on_file, onboarding, registration_desk
from gateway.identity import staff
from gateway.store import decisions, erasure
from tests.deliveries import two_schools
from tests.journeys.test_grades import Lesson
from tests.platforms import HOST, LTI, Platform, application, code_of, public_jwk, refusal_of, rsa_key
from tests.worlds import World

DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"


@pytest.fixture
def lesson(public_world: World, wire: Any) -> Lesson:
    made = Lesson(public_world, wire)
    made.activity()
    made.browser = {}
    return made


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[1]


def verified(lesson: Lesson, token: str) -> dict[str, Any]:
    """A signed answer, checked as a platform does: with our published key, by another library."""
    keys = lesson.world.client.get("/.well-known/jwks.json").json["keys"]
    kid = jwt.get_unverified_header(token)["kid"]
    (key,) = (one for one in keys if one["kid"] == kid)
    return jwt.decode(
        token, jwt.PyJWK(key), algorithms=["RS256"], audience=lesson.lms.issuer, issuer=lesson.lms.client_id,
        options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip


def picker(lesson: Lesson, sub: str = "tA", **settings: Any) -> str:
    """Open the picker of a teacher and return its path."""
    answer = lesson.lms.launch(lesson.world, lesson.lms.picking(sub, **settings))
    assert answer.status_code == 303, answer.text
    lesson.browser = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
    sent = urlsplit(answer.headers["Location"])
    assert sent.netloc == "gateway.example"
    return sent.path


def press(lesson: Lesson, path: str, **form: Any) -> Any:
    """Press a button in the teacher's browser, on the page as it is now."""
    shown = re.search(r'name="shown" value="(\w+)"', look(lesson, path).text) if "/pick/" in path else None
    said = form | ({"shown": shown[1]} if shown else {})
    browser = getattr(lesson, "browser", {})
    return lesson.world.client.post(path, data=said, base_url="https://gateway.example", headers=browser)


def look(lesson: Lesson, path: str) -> Any:
    return lesson.world.client.get(path, base_url="https://gateway.example", headers=getattr(lesson, "browser", {}))


# --- deep linking --------------------------------------------------------------------------------------


def test_a_teacher_picks_an_activity_and_the_lms_gets_it_once(lesson):
    path = picker(lesson)
    page = look(lesson, path)
    assert (page.status_code, "Check" in page.text, 'type="checkbox"' in page.text) == (200, True, True)
    answer = press(lesson, path, item="check")
    assert f'action="{HOST}/picked"' in answer.text
    assert f"form-action 'self' {HOST};" in answer.headers["Content-Security-Policy"]
    said = verified(lesson, hidden(answer.text, "JWT"))
    assert said[DL + "data"] == "Echo: <é>"
    assert said[LTI + "message_type"] == "LtiDeepLinkingResponse"
    assert said[LTI + "deployment_id"] == lesson.lms.deployment_id
    assert 0 < said["exp"] - said["iat"] <= 60
    (item,) = said[DL + "content_items"]
    assert item["lineItem"].pop("resourceId").startswith("act_")
    assert [item] == [
        {
            "type": "ltiResourceLink", "title": "Check", "url": "https://gateway.example/lti/launch?activity=check",
            "custom": {"activity": "check"},
            "lineItem": {"label": "Check", "scoreMaximum": 4.0, "tag": "schoolgate",
                         "submissionReview": {}},
        }
    ]  # fmt: skip
    assert refusal_of(press(lesson, path, item="check")) == "LTI_CODE"
    assert refusal_of(look(lesson, path)) == "LTI_CODE"


def test_what_was_picked_is_launched_by_its_address_where_the_custom_value_is_lost(lesson):
    target = "https://gateway.example/lti/launch?activity=check"
    begun = lesson.lms.login(lesson.world, target_link_uri=target)
    claims = lesson.lms.message("p0") | {LTI + "target_link_uri": target, LTI + "custom": {}}
    token = lesson.lms.sign(lesson.lms.complete(lesson.world, claims, begun))
    code = code_of(lesson.lms.post(lesson.world, token, begun))
    assert lesson.app.call("POST", "/v1/launches/exchange", json={"code": code}).json["activity"]["your_id"] == "check"


def test_the_picker_is_the_teachers_browsers_alone(lesson):
    """Its key passes through the application, which must not press for the teacher."""
    path, world = picker(lesson), lesson.world
    for answer in (world.client.get(path), world.client.post(path, data={"item": "check"})):
        assert refusal_of(answer) == "LTI_CODE"
    assert look(lesson, path).status_code == 200


def test_what_is_sent_is_what_was_shown(lesson):
    path = picker(lesson)
    told = in_the_application(lesson, path)

    def offer(title: str) -> str:
        items = {"items": [{"activity": "check", "title": title}]}
        answer = lesson.app.call("POST", f"/v1/launches/{told['id']}/content_items", json=items)
        return urlsplit(answer.json["return_url"]).path

    page = offer("Harmless")
    shown = hidden(look(lesson, page).text, "shown")
    offer("Other")
    said = {"item": "proposed", "shown": shown}
    answer = lesson.world.client.post(page, data=said, base_url="https://gateway.example", headers=lesson.browser)
    assert refusal_of(answer) == "LTI_ITEM_CHANGED"


@pytest.mark.parametrize("item", ["x" * 200, "", "a\0b", "<b>"])
def test_an_activity_that_is_none_cannot_be_picked(lesson, item):
    assert refusal_of(press(lesson, picker(lesson), item=item)) == "OWN_NOT_ASSOCIATED"


def test_a_picker_ends_with_what_allowed_it(lesson):
    path, world = picker(lesson), lesson.world
    with world.office.database.open_district(world.by.district) as session:
        session.run("UPDATE access_grant SET status = 'revoked'")
    assert refusal_of(press(lesson, path, item="check")) == "LTI_CODE"


@pytest.mark.parametrize("data", ["a\0b", "\ud800", {"deep": ["\0"]}])
def test_data_that_cannot_be_kept_is_refused_with_its_code(lesson, data):
    answer = lesson.lms.launch(lesson.world, lesson.lms.picking("tA", data=data))
    assert refusal_of(answer) == "LTI_DEEP_LINKING"


def test_the_column_that_came_with_what_was_picked_takes_its_grades(lesson):
    answer = press(lesson, picker(lesson), item="check")
    (made,) = verified(lesson, hidden(answer.text, "JWT"))[DL + "content_items"]
    column = f"{lesson.book.base}/1"
    lesson.book.columns[column] = made["lineItem"] | {"id": column}
    assert lesson.send(p0="proficient") == {"p0": ("sent", None)}
    assert list(lesson.book.columns) == [column]


def test_a_cancelled_picker_goes_back_with_nothing(lesson):
    answer = press(lesson, picker(lesson), do="cancel")
    assert verified(lesson, hidden(answer.text, "JWT"))[DL + "content_items"] == []


def test_an_lms_that_takes_no_activity_there_is_said_to(lesson):
    page = look(lesson, picker(lesson, accept_types=["link", "file"])).text
    assert "The LMS takes no link to an activity in this place." in page
    assert "has no activity" not in page
    assert "Make or find one in Mastery App" in page


def test_adding_nothing_is_a_slip_and_no_answer(lesson):
    path = picker(lesson)
    page = press(lesson, path, do="add")
    assert (page.status_code, "Nothing is chosen yet." in page.text, 'name="JWT"' in page.text) == (200, True, False)
    (made,) = verified(lesson, hidden(press(lesson, path, item="check").text, "JWT"))[DL + "content_items"]
    assert made["custom"] == {"activity": "check"}


def test_data_that_did_not_come_is_not_sent_back(lesson):
    said = verified(lesson, hidden(press(lesson, picker(lesson, data=None), do="cancel").text, "JWT"))
    assert DL + "data" not in said


@pytest.mark.parametrize("who", ["p0", "p99", "tB"])
def test_only_a_teacher_of_the_class_picks(lesson, who):
    answer = lesson.lms.launch(lesson.world, lesson.lms.picking(who))
    assert refusal_of(answer) == "LTI_PERSON"


ITEMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ltiResourceLink": (
        {"activity": "check", "available": {"start": "2026-11-03T08:00:00+00:00"}, "target": "window",
         "submission": {"end": "2026-11-04T08:00:00+00:00"}, "line_item": False},
        {"available": {"startDateTime": "2026-11-03T08:00:00+00:00"}, "window": {"targetName": "_blank"},
         "submission": {"endDateTime": "2026-11-04T08:00:00+00:00"}},
    ),
    "link": ({"url": "https://app.example/x", "title": "X", "target": "iframe", "width": 300, "height": 200},
             {"url": "https://app.example/x", "iframe": {"src": "https://app.example/x", "width": 300, "height": 200}}),
    "file": ({"url": "https://app.example/x.pdf", "media_type": "application/pdf"}, {"mediaType": "application/pdf"}),
    "html": ({"html": "<p>é</p>", "icon": "https://app.example/i.png"},
             {"html": "<p>é</p>", "icon": {"url": "https://app.example/i.png"}}),
    "image": ({"url": "https://app.example/x.png", "width": 10, "height": 20, "thumbnail": "https://app.example/t.png"},
              {"width": 10, "height": 20, "thumbnail": {"url": "https://app.example/t.png"}}),
}  # fmt: skip


def in_the_application(lesson: Lesson, path: str) -> dict[str, Any]:
    """Go on to the application from the picker, which exchanges its code."""
    code = code_of(press(lesson, path, do="application"))
    return lesson.app.call("POST", "/v1/launches/exchange", json={"code": code}).json


@pytest.mark.parametrize("kind", ITEMS)
def test_the_application_hands_back_items_of_every_type(lesson, kind):
    path = picker(lesson)
    told = in_the_application(lesson, path)
    assert (told["kind"], told["accepts"]["multiple"], kind in told["accepts"]["types"]) == ("deep_linking", True, True)
    item, sent = ITEMS[kind]
    answer = lesson.app.call(
        "POST", f"/v1/launches/{told['id']}/content_items", json={"items": [{"type": kind} | item]}
    )
    assert answer.status_code == 200, answer.text
    page = urlsplit(answer.json["return_url"]).path
    assert "Add to your course?" in look(lesson, page).text
    (made,) = verified(lesson, hidden(press(lesson, page, item="proposed").text, "JWT"))[DL + "content_items"]
    assert made["type"] == kind
    assert {name: made.get(name) for name in sent} == sent
    assert "lineItem" not in made
    assert refusal_of(press(lesson, path, do="cancel")) == "LTI_CODE"
    again = lesson.app.call("POST", f"/v1/launches/{told['id']}/content_items", json={"items": []})
    assert (again.status_code, again.json["code"]) == (404, "LTI_CODE")


REFUSED: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "a type it does not take": ({"accept_types": ["ltiResourceLink"]}, [{"type": "link", "url": "https://a.example"}]),
    "two where it takes one": ({"accept_multiple": False}, [{"activity": "check"}, {"activity": "check"}]),
    "a file of another type": ({"accept_media_types": "image/*, text/plain"},
                               [{"type": "file", "url": "https://a.example", "media_type": "application/pdf"}]),
    "a file of no type": ({"accept_media_types": "image/*"}, [{"type": "file", "url": "https://a.example"}]),
    "a way to show it": ({"accept_presentation_document_targets": ["window"]},
                         [{"type": "link", "url": "https://a.example", "target": "iframe"}]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_lms_does_not_take_is_never_sent(lesson, what):
    settings, items = REFUSED[what]
    told = in_the_application(lesson, picker(lesson, **settings))
    answer = lesson.app.call("POST", f"/v1/launches/{told['id']}/content_items", json={"items": items})
    assert (answer.status_code, answer.json["code"]) == (422, "LTI_ITEM_NOT_ACCEPTED")


MALFORMED = (
    [{"type": "link", "url": "javascript:alert(1)"}], [{"type": "link"}], [{"type": "ltiResourceLink"}], [{}],
    [{"type": "ltiAssetProcessor"}], [{"activity": "check", "lineItem": {}}], "items", [{"type": "html"}],
    [{"activity": "check"}] * 51, [{"activity": "check\0"}],
)  # fmt: skip


@pytest.mark.parametrize("items", MALFORMED, ids=range(len(MALFORMED)))
def test_items_that_are_none_are_refused(lesson, items):
    told = in_the_application(lesson, picker(lesson))
    answer = lesson.app.call("POST", f"/v1/launches/{told['id']}/content_items", json={"items": items})
    assert (answer.status_code, answer.json["code"]) == (422, "REQ_INVALID")


def test_an_activity_of_nobody_cannot_be_picked(lesson):
    assert refusal_of(press(lesson, picker(lesson), item="nothing")) == "OWN_NOT_ASSOCIATED"


def test_a_line_item_is_left_out_where_the_lms_takes_none(lesson):
    answer = press(lesson, picker(lesson, accept_lineitem=False), item="check")
    (made,) = verified(lesson, hidden(answer.text, "JWT"))[DL + "content_items"]
    assert "lineItem" not in made


def test_what_others_wrote_is_text_on_our_pages(lesson):
    title = '"><img src=x onerror=alert(1)>'
    body = {"class": lesson.launch["class"]["id"], "title": title, "points": 4, "scale": {"good": 4.0}}
    assert lesson.app.call("PUT", "/v1/activities/odd", json=body).status_code < 300
    page = look(lesson, picker(lesson)).text
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img" not in page


def test_a_picker_that_would_answer_elsewhere_is_refused(lesson):
    answer = lesson.lms.launch(lesson.world, lesson.lms.picking("tA", deep_link_return_url="https://evil.example/"))
    assert refusal_of(answer) == "LTI_RETURN_URL"


# --- submission review ---------------------------------------------------------------------------------


def test_a_teacher_looks_at_a_pupils_work(lesson):
    world = lesson.world
    lesson.lms.launch(world, lesson.lms.message("p0", **lesson.book.claims()))
    lists = lesson.book.claims()
    (ags,) = (value for name, value in lists.items() if name.endswith("endpoint"))
    item = f"{ags['lineitems'].partition('?')[0]}/7"
    answer = lesson.lms.launch(world, lesson.lms.reviewing("tA", "p0", item))
    told = lesson.app.call("POST", "/v1/launches/exchange", json={"code": code_of(answer)}).json
    assert (told["kind"], told["about"]["id"]) == ("submission_review", lesson.people["p0"])
    (intent,) = [e for e in world.ledger("A") if e["type"] == "intent" and e["operation"] == "launch.handover"][-1:]
    assert intent["subjects"] == 2
    for whom, where, code in (
        ("p99", item, "LTI_FOR_USER_UNKNOWN"), ("p1", item, "LTI_FOR_USER_UNKNOWN"),
        ("p0", f"{HOST}/elsewhere/7", "LTI_LINE_ITEM"), ("p0", f"{item}/../../x", "LTI_LINE_ITEM"),
    ):  # fmt: skip
        assert refusal_of(lesson.lms.launch(world, lesson.lms.reviewing("tA", whom, where))) == code
    assert refusal_of(lesson.lms.launch(world, lesson.lms.reviewing("p0", "p0", item))) == "LTI_PERSON"


def test_the_work_of_a_pupil_who_may_not_be_shown_is_not(lesson):
    world = lesson.world
    lesson.lms.launch(world, lesson.lms.message("p0", **lesson.book.claims()))
    (ags,) = (value for name, value in lesson.book.claims().items() if name.endswith("endpoint"))
    item = f"{ags['lineitems'].partition('?')[0]}/7"
    world.file("opt_out", school="School A", pupil="p0", category="application")
    answer = lesson.lms.launch(world, lesson.lms.reviewing("tA", "p0", item))
    assert refusal_of(answer) == "LTI_FOR_USER_UNKNOWN"
    (denial,) = [e for e in world.ledger("A") if e["type"] == "denial"]
    assert (denial["operation"], denial["reason"], denial["actor"]["kind"]) == (
        "launch.handover", "CON_OPT_OUT", "teacher"
    )  # fmt: skip
    with world.office.database.open_school(world.places["A"]) as session:
        kept = decisions.find(session, denial["id"])
    assert kept.person_id == "p0"


# --- data privacy --------------------------------------------------------------------------------------


def test_who_asks_what_leaves_reads_what_is_agreed_and_nothing_about_anybody(lesson):
    answer = lesson.lms.launch(lesson.world, lesson.lms.asking("p0", "p2"))
    assert answer.status_code == 200
    assert "Mastery App" in answer.text
    assert not [word for word in ("Givenp", "lms-p", "Name of") if word in answer.text]
    assert refusal_of(
        lesson.lms.launch(lesson.world, lesson.lms.asking("p0") | {LTI + "context": {"id": "course-1"}})
    ) == "LTI_CONTEXT"  # fmt: skip


# --- without a name ------------------------------------------------------------------------------------


def test_a_pupil_who_opted_out_takes_part_under_a_stable_pseudonym(lesson):
    world = lesson.world
    named = lesson.learn()["p0"]
    world.file("opt_out", school="School A", pupil="p0", category="application")

    def told() -> dict[str, Any]:
        code = code_of(lesson.lms.launch(world, lesson.lms.message("p0", email="p0@pupils.example")))
        answer = lesson.app.call("POST", "/v1/launches/exchange", json={"code": code})
        assert answer.status_code == 200, answer.text
        assert not [text for text in ("Givenp0", "Familyp0", "p0@", named) if text in answer.text]
        return answer.json

    first, second = told(), told()
    assert first["person"] == {"id": second["person"]["id"], "role": "student"}
    assert first["person"]["id"] not in {named, *lesson.learn().values()}
    assert set(first["withheld"]) == {"person.email", "person.locale", "person.name.full"}
    assert (first["class"]["title"], first["can"]["grades"]) == ("Class kA", False)
    intent = [e for e in world.ledger("A") if e["type"] == "intent" and e["operation"] == "launch.handover"][-1]
    assert (intent["subjects"], intent["rows_withheld"]) == (1, [{"code": "CON_OPT_OUT", "n": 1}])


def test_a_result_of_somebody_without_a_name_finds_its_pupil(lesson):
    world = lesson.world
    world.file("opt_out", school="School A", pupil="p0", category="application")
    code = code_of(lesson.lms.launch(world, lesson.lms.message("p0")))
    unnamed = lesson.app.call("POST", "/v1/launches/exchange", json={"code": code}).json["person"]["id"]
    lesson.people["p0"] = unnamed
    lesson.send(p0="proficient")
    assert [sub for sub, _ in lesson.sent()] == ["p0"]


def test_a_family_that_refuses_any_use_is_heard_at_the_door(lesson):
    lesson.world.file("consent", school="School A", pupil="p0", scope="use", status="refused", grantor="parent")
    assert refusal_of(lesson.lms.launch(lesson.world, lesson.lms.message("p0"))) == "LTI_PERSON"


def test_a_child_without_a_familys_word_is_not_handed_on_under_any_name(public_world, wire):
    """Where a family's consent is what lets a child in, its lack is no opting out."""
    world = public_world.standing()
    on_file.record_policy(world.office, world.by, "source_policy", {"policy": "mastery_track"})
    children = two_schools().person("c1", "student", "A", born="2019-01-01").enroll("c1", "kA", "A", "student")
    assert world.deliver(children).state == "published"
    application(world, "A", school_agent=False)
    lms = Platform().register(world, "A").link(world, "A", "kA").serve_keys(wire)
    assert refusal_of(lms.launch(world, lms.message("c1"))) == "LTI_PERSON"
    assert world.denials("A") == ["CON_REQUIRED"]


def test_what_a_platform_puts_into_a_launch_is_not_handed_on_unread(lesson):
    world = lesson.world
    claims = lesson.lms.message("p0") | {
        LTI + "custom": {"activity": "Givenp0 Familyp0"},
        LTI + "launch_presentation": {"return_url": "https://elsewhere.example/r?user=p0"},
    }  # fmt: skip
    code = code_of(lesson.lms.launch(world, claims))
    told = lesson.app.call("POST", "/v1/launches/exchange", json={"code": code}).json
    assert (told["activity"].get("your_id"), told.get("return_url")) == (None, None)
    claims[LTI + "launch_presentation"] = {"return_url": f"{HOST}/r?user=p0"}
    world.file("opt_out", school="School A", pupil="p0", category="application")
    code = code_of(lesson.lms.launch(world, claims))
    assert lesson.app.call("POST", "/v1/launches/exchange", json={"code": code}).json.get("return_url") is None


def test_of_two_names_of_a_pupil_one_works_at_a_time(lesson):
    world, named = lesson.world, lesson.learn()["p0"]
    world.file("opt_out", school="School A", pupil="p0", category="application")
    code = code_of(lesson.lms.launch(world, lesson.lms.message("p0")))
    unnamed = lesson.app.call("POST", "/v1/launches/exchange", json={"code": code}).json["person"]["id"]
    results = [{"ref": ref, "person": who, "mastery": "proficient", "at": world.clock.at.isoformat()}
               for ref, who in (("alias", named), ("pseudonym", unnamed))]  # fmt: skip
    body = {"mode": "preview", "activity": "check", "launch": lesson.launch["id"], "results": results}
    answer = lesson.app.call("POST", "/v1/result_batches", json=body, headers={"Idempotency-Key": "two names of one"})
    states = {one["ref"]: one["state"] for one in answer.json["results"]}
    assert states == {"alias": "needs_admin", "pseudonym": "ready"} or states["alias"] != "ready"
    assert states["pseudonym"] == "ready"


def test_a_proof_of_storage_counts_from_our_own_page_alone(lesson):
    """Else another site signs a browser in as somebody else (login CSRF)."""
    world, lms = lesson.world, lesson.lms
    begun = lms.login(world, lti_storage_target="_parent")
    token, state = lms.sign(lms.complete(world, lms.message("p0"), begun)), begun.asked["state"]
    opened = world.parts.states.open(state)
    kept = world.parts.states.storage(opened, world.parts.registrations.platform(lms.issuer, lms.client_id))
    alone = {"id_token": token, "state": state}

    def post(form: dict[str, str], **headers: str) -> Any:
        return world.client.post("/lti/launch", data=form, base_url="https://gateway.example", headers=headers)

    page = post(alone)
    word = {"put_away": hidden(page.text, "put_away"), "platform_storage": kept.value}
    assert token not in page.text
    assert "put_away" in post(alone | {"platform_storage": kept.value}).text  # asked for, never taken
    for site in ("cross-site", "same-site", "none", ""):
        assert refusal_of(post(word, **({"Sec-Fetch-Site": site} if site else {}))) == "LTI_BROWSER"
    assert refusal_of(post(word | {"platform_storage": "x"}, **{"Sec-Fetch-Site": "same-origin"})) == "LTI_BROWSER"
    assert post(word, **{"Sec-Fetch-Site": "same-origin"}).status_code == 303


def relax(lesson: Lesson, name: str, **more: Any) -> None:
    until = (lesson.world.clock.at + timedelta(days=30)).date().isoformat()
    launch.relax(
        lesson.world.office, lesson.world.by, lesson.lms.deployment, name, "agreed with the LMS", until, **more
    )
    lesson.world.clock.forward(seconds=31)  # what is remembered of registrations is read again


def test_a_visitor_comes_in_only_where_the_registration_says_so(lesson):
    world = lesson.world
    nameless = lesson.lms.message("x") | {"sub": None, "name": None, LTI + "lis": None}
    stranger = lesson.lms.message("x") | {LTI + "lis": None}
    assert refusal_of(lesson.lms.launch(world, nameless)) == "LTI_SUB"
    assert refusal_of(lesson.lms.launch(world, stranger)) == "LTI_PERSON"
    relax(lesson, "anonymous")

    def visit(claims: dict[str, Any]) -> str:
        code = code_of(lesson.lms.launch(world, claims))
        told = lesson.app.call("POST", "/v1/launches/exchange", json={"code": code}).json
        assert set(told["person"]) == {"id", "role"}
        return told["person"]["id"]

    assert visit(stranger) == visit(stranger)
    assert visit(nameless) != visit(nameless)
    assert len({visit(stranger), visit(nameless), *lesson.learn().values()}) == 2 + len(lesson.learn())
    world.clock.forward(days=31)
    assert refusal_of(lesson.lms.launch(world, stranger)) == "LTI_PERSON"


def test_a_link_without_a_resource_comes_in_only_where_the_registration_says_so(lesson):
    claims = lesson.lms.message("p0") | {LTI + "resource_link": None}
    assert refusal_of(lesson.lms.launch(lesson.world, claims)) == "LTI_RESOURCE_LINK"
    relax(lesson, "no_resource_link")
    assert lesson.lms.launch(lesson.world, claims).status_code == 303


def test_a_trusted_audience_is_trusted_by_name(lesson):
    claims = lesson.lms.message("p0") | {"aud": ["https://proxy.example", lesson.lms.client_id]}
    claims["azp"] = lesson.lms.client_id
    assert refusal_of(lesson.lms.launch(lesson.world, claims)) == "LTI_AUD_UNTRUSTED"
    relax(lesson, "trusted_audience", value="https://proxy.example")
    assert lesson.lms.launch(lesson.world, claims).status_code == 303
    worse = claims | {"aud": [*claims["aud"], "https://other.example"]}
    assert refusal_of(lesson.lms.launch(lesson.world, worse)) == "LTI_AUD_UNTRUSTED"


def test_a_clock_that_goes_wrong_is_excused_as_far_as_was_said(lesson):
    def ahead(seconds: int) -> Any:
        at = int(lesson.world.clock.at.timestamp()) + seconds
        return lesson.lms.launch(lesson.world, lesson.lms.message("p0") | {"iat": at, "exp": at + 60})

    assert refusal_of(ahead(100)) == "LTI_IAT"
    relax(lesson, "clock_skew", value="120")
    assert ahead(100).status_code == 303
    assert refusal_of(ahead(130)) == "LTI_IAT"


# --- linking a course ----------------------------------------------------------------------------------


def unlinked(lesson: Lesson, sub: str, role: str = "Instructor", **claims: Any) -> Any:
    claims = {LTI + "context": {"id": "course-9", "title": "Geometry"}} | claims
    return lesson.lms.launch(lesson.world, lesson.lms.message(sub, role) | claims)


def test_a_teacher_links_a_new_course_to_a_class_of_their_own(lesson):
    page = unlinked(lesson, "tA")
    assert (page.status_code, "Geometry" in page.text, "Class kA" in page.text) == (200, True, True)
    assert "Class kB" not in page.text
    word = hidden(page.text, "class")
    assert refusal_of(press(lesson, "/lti/link", **{"class": word[:-2] + "xx"})) == "LTI_STATE"
    assert "Linked to Class kA" in press(lesson, "/lti/link", **{"class": word}).text
    assert refusal_of(press(lesson, "/lti/link", **{"class": word})) == "LTI_CONTEXT_LINKED"
    assert unlinked(lesson, "p0", "Learner").status_code == 303
    assert [e["type"] for e in lesson.world.ledger("A")].count("link") == 2


@pytest.mark.parametrize(
    ("who", "role"), [("p0", "Learner"), ("p0", "Instructor"), ("tB", "Instructor"), ("tA", "Learner")]
)
def test_nobody_else_is_asked(lesson, who, role):
    """The LMS's word alone makes no teacher, and the roster's alone opens no course."""
    assert refusal_of(unlinked(lesson, who, role)) == "LTI_CONTEXT_UNLINKED"


def test_a_word_of_ten_minutes_ago_links_nothing(lesson):
    word = hidden(unlinked(lesson, "tA").text, "class")
    lesson.world.clock.forward(seconds=601)
    assert refusal_of(press(lesson, "/lti/link", **{"class": word})) == "LTI_STATE"


def test_what_waits_to_be_linked_is_listed_for_the_district_and_forgotten_when_it_is(lesson):
    unlinked(lesson, "p0", "Learner")
    lesson.lms.launch(lesson.world, lesson.lms.message("p0") | {LTI + "deployment_id": "77"})
    waiting = launch.waiting(lesson.world.office, lesson.world.by)
    assert [(w.row.deployment_id, w.row.context_id, w.row.title) for w in waiting] == [("1", "course-9", "Geometry")]
    press(lesson, "/lti/link", **{"class": hidden(unlinked(lesson, "tA").text, "class")})
    assert launch.waiting(lesson.world.office, lesson.world.by) == []


def test_a_deployment_that_waits_is_forgotten_when_it_is_registered(lesson):
    world, lms = lesson.world, lesson.lms
    other, third = replace(lms, deployment_id="77"), replace(lms, deployment_id="78")
    for one in (other, third):
        begun = lms.login(world, lti_deployment_id=None)
        answer = lms.post(world, lms.sign(lms.complete(world, one.message("p0"), begun)), begun)
        assert refusal_of(answer) == "LTI_DEPLOYMENT"

    def waits() -> set[str]:
        return {one.row.deployment_id for one in launch.waiting(world.office, world.by)}

    assert waits() == {"77", "78"}
    onboarding.add_lms(world.office, world.by, f"LMS {lms.client_id}", other.as_typed(), [world.refs["A"]])
    assert waits() == {"78"}


# --- when it fails -------------------------------------------------------------------------------------


def test_a_failed_launch_says_how_far_it_got_and_can_be_looked_up(lesson):
    answer = lesson.lms.launch(lesson.world, lesson.lms.message("p0") | {"aud": "somebody"})
    steps = re.findall(r'<li class="(\w+)"', answer.text)
    assert steps == ["passed"] * 5 + ["failed"] + ["untried"] * 2
    (support,) = re.findall(r"<code>(req_\w+)</code>", answer.text)
    told = launch.inspect(lesson.world.office, lesson.world.by, support)
    assert (told["outcome"], told["passed"], told["course_roles"], told["verified"]) == (
        "LTI_AUD",
        5,
        ["student"],
        True,
    )
    assert "sub" in told["claims"]
    assert not [word for word in ("lms-p0", "Name of", "Givenp0") if word in str(told)]
    good = lesson.lms.launch(lesson.world, lesson.lms.message("p0"))
    told = lesson.app.call("POST", "/v1/launches/exchange", json={"code": code_of(good)}).json
    assert launch.inspect(lesson.world.office, lesson.world.by, told["id"])["outcome"] == "let in"


def test_a_registration_that_is_off_looks_unknown_and_is_told_to_its_administrator(lesson):
    begun = lesson.lms.login(lesson.world)
    token = lesson.lms.sign(lesson.lms.complete(lesson.world, lesson.lms.message("p0"), begun))
    with lesson.world.office.database.open_district(lesson.world.by.district) as session:
        session.run("UPDATE registration SET status = 'disabled' WHERE client_id = %(c)s", c=lesson.lms.client_id)
    lesson.world.clock.forward(seconds=31)
    assert refusal_of(lesson.lms.post(lesson.world, token, begun)) == "LTI_ISSUER_UNKNOWN"
    assert lesson.lms.login(lesson.world).answer.status_code == 403
    (failed,) = launch.failures(lesson.world.office, lesson.world.by)
    assert failed.code == "LTI_REGISTRATION_DISABLED"


def test_failures_that_anybody_can_make_take_no_room_from_others(lesson):
    world, lms = lesson.world, lesson.lms
    assert refusal_of(lms.launch(world, lms.message("p99"))) == "LTI_PERSON"
    begun = lms.login(world)
    begun.cookies.clear()
    for _ in range(25):
        assert refusal_of(lms.post(world, "x", begun)) == "LTI_BROWSER"
    failed = [one.code for one in launch.failures(world.office, world.by)]
    assert (failed.count("LTI_BROWSER"), failed.count("LTI_PERSON")) == (20, 1)
    world.canaries.check()  # whose tokens these were is forgotten too
    world.clock.forward(days=31)
    jobs.forget_expired(world.parts)
    assert launch.failures(world.office, world.by) == []


def test_a_review_changes_nothing_about_the_course(lesson):
    world = lesson.world
    (ags,) = (value for name, value in lesson.book.claims().items() if name.endswith("endpoint"))
    item = f"{ags['lineitems'].partition('?')[0]}/7"
    code_of(lesson.lms.launch(world, lesson.lms.reviewing("tA", "p0", item)))
    again = code_of(lesson.lms.launch(world, lesson.lms.message("tA", "Instructor")))
    told = lesson.app.call("POST", "/v1/launches/exchange", json={"code": again}).json
    assert told["can"]["grades"] is True


def test_a_visitor_who_turns_out_to_be_a_pupil_is_erased_with_them(lesson):
    world, lms = lesson.world, lesson.lms
    relax(lesson, "anonymous")
    code_of(lms.launch(world, lms.message("p8") | {LTI + "lis": None}))
    code = code_of(lms.launch(world, lms.message("p4") | {LTI + "lis": None}))
    visitor = lesson.app.call("POST", "/v1/launches/exchange", json={"code": code}).json["person"]["id"]
    code_of(lms.launch(world, lms.message("p4")))
    assert refusal_of(lms.launch(world, lms.message("gone") | {"sub": "lms-p8"})) == "LTI_PERSON"
    with world.office.database.open_erasure(world.places["A"]) as session:
        erasure.erase(session, "p4")
        left = session.rows("SELECT sourced_id FROM alias WHERE kind = 'visitor'")
        subs = {row.sub for row in session.rows("SELECT sub FROM launch")}
    assert [row for row in left if row.sourced_id.endswith("lms-p4")] == []
    assert "lms-p4" not in subs
    assert visitor


def test_a_registration_that_waits_is_in_nobodys_way(lesson):
    world = lesson.world
    lms, other = (Platform(issuer="https://alone.example").register(world, "A", agreed=False) for _ in range(2))
    said = {"client_id": None, "lti_deployment_id": None}
    assert refusal_of(lms.login(world, **said).answer) == "LTI_REGISTRATION_AMBIGUOUS"
    with world.office.database.open_district(world.by.district) as session:
        session.run("UPDATE registration SET status = 'pending' WHERE client_id = %(c)s", c=other.client_id)
    world.clock.forward(seconds=31)
    assert lms.login(world, **said).answer.status_code == 302


def test_a_course_is_linked_once_however_many_press_at_once(lesson):
    word = hidden(unlinked(lesson, "tA").text, "class")
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda _: press_alone(lesson, word), range(8)))
    assert sorted(a.status_code for a in answers) == [200] + [409] * 7


def press_alone(lesson: Lesson, word: str) -> Any:
    client = lesson.world.app.test_client(use_cookies=False)
    return client.post("/lti/link", data={"class": word}, base_url="https://gateway.example")


def test_relaxations_are_the_districts_to_read_and_named_in_the_logs(lesson):
    world = lesson.world
    relax(lesson, "clock_skew", value="90")
    (entry,) = [e for e in world.ledger("A") if e["type"] == "relaxation"]
    assert (entry["relaxation"], entry["actor"]["kind"], entry["outcome"]) == ("clock_skew", "staff", "recorded")
    _, secret = onboarding.add_staff(world.office, world.by, "S. Desk", "school_admin", world.refs["A"])
    desk = staff.person(world.office.database, secret, world.clock.at)
    with pytest.raises(Refused):
        launch.relaxations(world.office, desk)


def test_after_its_key_address_changed_the_old_keys_of_an_lms_let_nobody_in(lesson, wire):
    world, lms = lesson.world, lesson.lms
    registration_desk.update(world.office, world.by, lms.deployment, {"jwks_url": f"{HOST}/other-keys"}, ())
    wire.get(f"{HOST}/other-keys", json={"keys": [public_jwk(rsa_key(3), kid="k3")]})
    world.clock.forward(seconds=31)
    assert refusal_of(lms.launch(world, lms.message("p0"))) == "LTI_KEY_UNKNOWN"
