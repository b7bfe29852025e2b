"""Serves Open edX's LTI component (lti-consumer-xblock) on loopback, run by the Python of its own environment.

Login, launch, tokens, columns, scores, results, members and deep linking are the package's own views and models, at the
package's own addresses. From us come what the package takes from the LMS around it (`lti_consumer.plugin.compat`: who
is enrolled, who may edit, where a grade is shown), a page that opens the tool, and a page that says what was stored.
Nothing of the gateway is imported here. `python open_edx.py TOOL_URL` prints one line of JSON, then serves.
"""

from __future__ import annotations

import json
import sys
import uuid
from types import SimpleNamespace
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings

COURSE = "course-v1:Test+Algebra+2026"
LINK = "block-v1:Test+Algebra+2026+type@lti_consumer+block@check"
PEOPLE = {"tA": "staff", "p0": "student", "p2": "student", "p4": "student"}
SITE, TOOL = "", sys.argv[1] if len(sys.argv) > 1 else ""
# What this LMS does besides the package: names people by SIS id, and sends a deep-linked login where its launch goes.
HABITS = {"sis_ids": True, "linked_login": True}
GRADES: list[tuple[str, float]] = []  # what reached the LMS's own gradebook


def configure() -> None:
    """Set Django up around the package. Raises ImproperlyConfigured where it cannot."""
    settings.configure(
        SECRET_KEY="loopback", DEBUG_PROPAGATE_EXCEPTIONS=True, ALLOWED_HOSTS=["127.0.0.1"], USE_TZ=True,
        ROOT_URLCONF="outside_urls",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField", MIGRATION_MODULES={"lti_consumer": None},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "lti_consumer.apps.LTIConsumerApp",
                        "rest_framework", "django_filters"],
        MIDDLEWARE=["outside_urls.SignedIn"], LTI_BASE=SITE, LTI_API_BASE=SITE, LMS_ROOT_URL=SITE,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        PLATFORM_NAME="Outside", USAGE_ID_PATTERN=r"(?P<usage_id>[^/]+)", LEARNING_MICROFRONTEND_URL=SITE,
    )  # fmt: skip
    sys.modules["outside_urls"] = sys.modules[__name__]
    django.setup()


class SignedIn:
    """The person of this request, by the LMS's session cookie."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __call__(self, request: Any) -> Any:
        request.user = SimpleNamespace(id=1, username=request.COOKIES.get("session", ""))
        return self.answer(request)


def subject(person: str) -> str:
    """What the LMS calls a person to tools: an external id, as Open edX gives one."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{SITE}/{person}"))


def surround() -> None:
    """Answer for the LMS around the package: each of these calls into edx-platform otherwise."""
    from lti_consumer.plugin import compat

    members = {
        number: {"id": number, "username": person, "name": f"Name of {person}", "roles": [role]}
        for number, (person, role) in enumerate(PEOPLE.items(), 1)
    }
    block = SimpleNamespace(
        has_score=True, accept_grades_past_due=True, is_past_due=lambda: False, max_score=lambda: 1.0,
        scope_ids=SimpleNamespace(usage_id=LINK),
        set_user_module_score=lambda user, score, *_: GRADES.append((user, score)),
    )  # fmt: skip
    compat.get_course_members = lambda _course: {number: dict(one) for number, one in members.items()}
    compat.batch_get_or_create_externalids = lambda _users: {
        number: SimpleNamespace(external_user_id=subject(one["username"])) for number, one in members.items()
    }
    compat.get_user_from_external_user_id = lambda key: next(one for one in PEOPLE if subject(one) == key)
    compat.load_block_as_user = lambda _location: block
    compat.user_has_studio_write_access = lambda user, _course: PEOPLE.get(user.username) == "staff"


def improve() -> None:
    """What a site adds to the package, and one fault of the package, each behind a habit."""
    from lti_consumer import models
    from lti_consumer.models import LtiDlContentItem

    class Consumer(models.LtiAdvantageConsumer):  # type: ignore[misc]
        def set_user_data(self, user_id: str, *args: Any, **more: Any) -> None:
            """The package builds no `lis` claim; `set_extra_claim` is its way to add one."""
            super().set_user_data(user_id, *args, **more)
            if HABITS["sis_ids"]:
                person = next(one for one in PEOPLE if subject(one) == user_id)
                self.set_extra_claim({"https://purl.imsglobal.org/spec/lti/claim/lis": {"person_sourcedid": person}})

        def _get_target_link_uri(self, launch_data: Any) -> str:
            """Fault of lti-consumer-xblock 11.4.4: the login of a deep-linked item names the component's own address,
            its launch that of the item; LTI Core 1.3 section 4.1.1 wants them equal."""
            item = launch_data.deep_linking_content_item_id
            if item and HABITS["linked_login"]:
                return str(LtiDlContentItem.objects.get(pk=item).attributes["url"])
            return str(super()._get_target_link_uri(launch_data))

    models.LtiAdvantageConsumer = Consumer


def place_tool() -> dict[str, str]:
    """Put the component into a unit of the course, with what our paste sheet says; return what Studio then shows."""
    from django.core.management import call_command
    from lti_consumer.models import Lti1p3Passport, LtiConfiguration

    call_command("migrate", run_syncdb=True, verbosity=0)
    launch = f"{TOOL}/lti/launch"
    passport = Lti1p3Passport.objects.create(name="Check", lti_1p3_tool_keyset_url=f"{TOOL}/.well-known/jwks.json")
    LtiConfiguration.objects.create(
        version="lti_1p3", config_store="CONFIG_ON_DB", location=LINK, lti_1p3_passport=passport,
        lti_1p3_oidc_url=f"{TOOL}/lti/login", lti_1p3_launch_url=launch, lti_1p3_redirect_uris=[launch],
        lti_advantage_ags_mode="programmatic", lti_advantage_enable_nrps=True,
        lti_advantage_deep_linking_enabled=True, lti_advantage_deep_linking_launch_url=launch,
    )  # fmt: skip
    return {"site": SITE, "client_id": passport.lti_1p3_client_id, "registration_id": str(passport.passport_id),
            "course": COURSE} | {person: subject(person) for person in PEOPLE}  # fmt: skip


# --- pages of the LMS ----------------------------------------------------------------------------------


def open_tool(request: Any) -> Any:
    """Somebody opens the unit: `what` is link, picker (deep linking) or picked (what was deep-linked)."""
    from django.http import HttpResponseRedirect
    from lti_consumer.api import get_lti_1p3_content_url, get_lti_1p3_launch_start_url
    from lti_consumer.data import Lti1p3LaunchData
    from lti_consumer.models import LtiConfiguration

    who, what = request.GET["user"], request.GET.get("what", "link")
    said = Lti1p3LaunchData(
        user_id=who, external_user_id=subject(who), user_role=PEOPLE[who], resource_link_id=LINK, context_id=COURSE,
        config_id=str(LtiConfiguration.objects.get().config_id), context_type=["course_offering"],
        context_title="Algebra", launch_presentation_document_target="window", name=f"Name of {who}",
    )  # fmt: skip
    picked = get_lti_1p3_content_url if what == "picked" else None
    url = picked(said) if picked else get_lti_1p3_launch_start_url(said, deep_link_launch=what == "picker")
    answer = HttpResponseRedirect(url)
    answer.set_cookie("session", who, secure=True, samesite="None")
    return answer


def told(_request: Any) -> Any:
    """What the package has stored."""
    from django.http import JsonResponse
    from lti_consumer.models import LtiAgsLineItem, LtiAgsScore, LtiDlContentItem

    scores = LtiAgsScore.objects.values("user_id", "score_given", "score_maximum", "grading_progress", "comment")
    columns = LtiAgsLineItem.objects.values("label", "score_maximum", "resource_id", "tag")
    return JsonResponse({"scores": list(scores), "columns": list(columns), "grades": GRADES,
                         "items": list(LtiDlContentItem.objects.values("content_type", "attributes"))})  # fmt: skip


def habits(request: Any) -> Any:
    """Change what this LMS does."""
    from django.http import JsonResponse

    HABITS.update(json.loads(request.body))
    return JsonResponse(HABITS)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_said: Any) -> None:
        """Standard output carries one line."""


def main() -> None:
    """Serve until the process is ended."""
    global SITE, urlpatterns  # noqa: PLW0603 - settings, and what Django reads of them, are global too
    server = make_server("127.0.0.1", 0, lambda *_: [], handler_class=Quiet)
    SITE = f"http://127.0.0.1:{server.server_port}"
    configure()
    surround()
    improve()
    from django.core.wsgi import get_wsgi_application
    from django.urls import include, path

    urlpatterns = [path("api/", include("lti_consumer.plugin.urls")), path("open", open_tool), path("told", told),
                   path("habits", habits)]  # fmt: skip
    shown = place_tool()
    server.set_app(get_wsgi_application())
    print(json.dumps(shown), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
