"""A OneRoster service from the first word about it to a published roster, as makes of SIS have it; and everything that
it may then do wrong leaves the roster as it was. Over loopback sockets against the sandbox's SIS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from connectors.oneroster_rest import MOST_WAITS
from gateway.cli import main
from gateway.errors import Refused
from gateway.flows import on_file, onboarding, source_test
from gateway.flows.onboarding.sources import Service
from gateway.flows.rosters import pull, timetable
from gateway.flows.rosters import running as running_nights
from gateway.flows.rosters.pull import Asked
from gateway.policy.persons import TIMETABLE
from gateway.report_text import lines
from gateway.sandbox import sis
from gateway.sandbox.district import ALDER, BIRCH, CAST
from gateway.sandbox.loopback import running
from gateway.sandbox.sis_makes import MAKES
from gateway.sandbox.sis_rest import CLIENT_ID, CLIENT_SECRET
from gateway.store import notifications, sources
from tests.refused.spoil import content, holdings, live
from tests.worlds import COLLECTED, World

# What Alder High holds on the first night, of five classes of the district.
ALDER_HIGH = {"user": 99, "class": 4, "enrollment": 100, "demographics": 96}
CHECKS = ["address", "tls", "credentials", "collections", "people", "paging", "changes", "clock"]
METHODS = {"oauth2": "oauth2", "bearer": "bearer", "oauth1": "oauth1-sha1"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(sis.create_app) as url:
        yield url


class District:
    """A district whose roster comes from a make of SIS, and what was waited for meanwhile."""

    def __init__(self, world: World, url: str, make: str, **typed: Any) -> None:
        self.world, self.url, self.make, self.waited = world.unseeded(), url, make, list[float]()
        self.behave()
        self.night(1)
        self.ref = onboarding.add_service(world.office, world.by, "sis", self.typed(**typed), CLIENT_SECRET)
        world.source = self.ref
        world.onboard(ALDER, BIRCH)

    def typed(self, **more: Any) -> Service:
        known = MAKES[self.make]
        root = f"{self.url}/{self.make}"
        said = {"product": self.make if self.make in onboarding_names() else "oneroster", "client_id": CLIENT_ID,
                "url": f"{root}/{known.base}", "token_url": f"{root}/{known.token}", "version": known.objects,
                "method": METHODS[known.auth] + ("-body" if known.credentials_in == "body" else "")}  # fmt: skip
        return Service(**(said | more))

    def behave(self, **habits: Any) -> None:
        requests.post(f"{self.url}/_sandbox/make", json={"make": self.make, **habits}, timeout=5).raise_for_status()

    def night(self, night: int) -> None:
        requests.post(f"{self.url}/_sandbox/night", json={"night": night, "few": True}, timeout=5).raise_for_status()

    def fault(self, on: str, do: str, times: int) -> None:
        said = {"on": on, "do": do, "times": times}
        requests.post(f"{self.url}/_sandbox/fault", json=said, timeout=5).raise_for_status()

    @property
    def parts(self) -> Any:
        return replace(self.world.parts, wait=self.waited.append)

    @property
    def source(self) -> Any:
        with self.world.office.database.open_district(self.world.by.district) as session:
            return sources.find(session, "sis")

    def pull(self, *, publish: bool = True, **asked: bool) -> Any:
        return pull.pull(self.parts, self.world.by, self.source, Asked(**asked), publish=publish)

    def night_of_the_timetable(self) -> Any:
        return running_nights.night(self.parts, self.world.by.district, self.ref)

    def told(self) -> list[tuple[str, str, dict[str, int]]]:
        with self.world.office.database.open_district(self.world.by.district) as session:
            listed = notifications.listing(session, unseen=False, limit=100)
        return [(row.cause, row.code, row.said) for row in listed]

    def test(self) -> dict[str, Any]:
        return {check.name: check for check in source_test.run(self.parts, self.world.by, "sis")}

    def counts(self) -> dict[str, int]:
        """What the published roster of Alder High holds."""
        with self.world.office.database.open_school(self.world.places[ALDER]) as session:
            return {
                kind: session.rows(f"SELECT count(*) AS n FROM roster_{kind} WHERE until IS NULL")[0].n
                for kind in ("user", "class", "enrollment", "demographics")
            }

    def command(self, *words: str) -> Result:
        settings = self.world.office.settings
        environment = {
            "SCHOOLGATE_INSTANCE": str(settings.instance), "DATABASE_URL": self.world.office.database.url,
            "SCHOOLGATE_URL": settings.url, "SCHOOLGATE_SANDBOX": "1", "SCHOOLGATE_TOKEN": self.world.token,
            "NO_COLOR": "1", "REDIS_URL": "", "SCHOOLGATE_SOURCE_SECRET": CLIENT_SECRET,
        }  # fmt: skip
        return CliRunner(env=environment).invoke(main, words, prog_name="schoolgate")


def onboarding_names() -> frozenset[str]:
    from mappings.products import sis as makes

    return makes.names()


# --- every make ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKES)
def test_from_the_first_word_to_a_published_roster(world, url, make):
    district = District(world, url, make)
    found = district.test()
    assert list(found) == CHECKS
    assert {name: check.seen for name, check in found.items() if check.state != "ok"} == {}
    assert "never-to-be-read" not in str(found)
    planned = district.pull(publish=False)
    assert (planned.state, planned.causes) == ("planned", [])
    published = district.pull()
    assert published.state == "published"
    assert district.counts() == ALDER_HIGH | {kind: 0 for kind in ALDER_HIGH if kind in MAKES[make].lacks}
    assert district.pull().state == "unchanged"
    asked = 3 * published.pulled["requests"]
    assert district.waited == ([0.2] * asked if make == "classlink" else [])  # whose pages are asked for slowly
    assert kept_pages(world) == []


def kept_pages(world: World) -> list[str]:
    """The pages that are kept of readings that are not over."""
    return sorted(path.name for path in (world.office.settings.instance / "pulls").rglob("*-*"))


def test_every_make_brings_the_same_people(world, url, fresh_worlds):
    """What a make leaves out apart, a roster is the same whoever serves it."""
    told = {}
    for make, one in zip(("plain", "plain11", "powerschool", "aeries"), fresh_worlds(4), strict=True):
        district = District(one, url, make)
        district.pull()
        told[make] = {at: {name: content(row).get(name) for name in SAID} for at, row in live(one).items()}
    assert len(told["plain"]) > 400
    for make, roster in told.items():
        assert roster == told["plain"], make


SAID = (
    "username", "given_name", "family_name", "email", "grades", "roles", "enabled", "title", "class", "user", "role",
    "primary", "begin_date", "end_date", "birth_date", "sex", "term", "terms", "course",
)  # fmt: skip


@pytest.fixture
def fresh_worlds(addresses, settings, clock) -> Iterator[Any]:
    from contextlib import ExitStack

    from tests.conftest import world_on

    with ExitStack() as stack:
        yield lambda count: [stack.enter_context(world_on(addresses, settings, clock)) for _ in range(count)]


# --- what goes wrong -------------------------------------------------------------------------------------


@pytest.fixture
def standing(world, url) -> District:
    """A district with a published roster, of a make that pages by fifty."""
    district = District(world, url, "plain")
    district.behave(largest_page=50)
    assert district.pull().state == "published"
    return district


WRONG = {
    "a loop": ({"wrong": "loop"}, "SRC_PAGES"),
    "a page that is repeated": ({"wrong": "repeat", "links": "none"}, "SRC_PAGES"),
    "a gap": ({"wrong": "gap"}, "SRC_PAGES"),
    "a total that moves": ({"wrong": "moving-total"}, "SRC_PAGES"),
    "a next at another host": ({"wrong": "elsewhere"}, "SRC_PAGES"),
    "an answer that is cut off": ({"wrong": "cut"}, "SRC_ANSWER"),
    "an empty collection": ({"wrong": "empty"}, "SRC_COLLECTION"),
    "no envelope": ({"wrong": "no-envelope"}, "SRC_COLLECTION"),
    "a collection that is not licensed": ({"lacks": ["enrollments"]}, "SRC_COLLECTION"),
    "another way to sign in": ({"auth": "oauth1"}, "SRC_CREDENTIALS"),
}


def test_whatever_goes_wrong_the_last_roster_stays(standing):
    before = holdings(standing.world)
    standing.night(2)
    for how, (habits, code) in WRONG.items():
        at = {"at": "enrollments"} if "wrong" in habits else {}
        standing.behave(largest_page=50, **habits, **at)
        report = standing.pull()
        assert (report.state, report.code) == ("refused", code), how
        assert report.refusal["owner"]
        assert report.refusal["remedy"]
        assert CLIENT_SECRET not in json.dumps(report.as_dict())
        assert report.refusal["detail"].startswith("enrollments: ") is ("auth" not in habits), how
        assert holdings(standing.world) == before
        assert run_of(standing, report.run).state == "refused"
    standing.behave()
    assert standing.pull().state == "published"
    assert standing.counts() == {"user": 100, "class": 4, "enrollment": 101, "demographics": 97}


def run_of(district: District, run: str) -> Any:
    with district.world.office.database.open_intake(district.world.by.district) as session:
        return sources.run(session, run)


def test_values_of_odd_types_are_bad_rows_and_nobody_is_gone(standing):
    standing.behave(largest_page=50, wrong="odd-types", at="users")
    before = holdings(standing.world)
    report = standing.pull()
    assert (report.state, holdings(standing.world)) == ("unchanged", before)
    codes = {(c["file"], c["column"], c["code"]): c for c in report.causes if c["costs"] == "row"}
    cause = codes["users.csv", "givenName", "CSV_VALUE_TYPE"]
    assert cause["count"] == 3  # one on each page
    assert cause["hint"] == "an object where a value of this column should stand"
    bad = [f.sourced_id for f in report.faults if (f.column, f.code) == ("givenName", "CSV_VALUE_TYPE")]
    assert (len(set(bad)), bad[0]) == (3, cause["record"])
    assert report.absences["quarantined"]["user"] == 3
    done = standing.command("sync", "errors", report.run, "--format", "csv")
    assert cause["record"] in done.stdout


def test_a_source_that_is_busy_for_long_is_gone_on_with_later(standing):
    whole = standing.pull().pulled["requests"]
    standing.night(2)
    standing.fault("enrollments", "429", MOST_WAITS + 1)
    report = standing.pull()
    assert (report.state, report.code) == ("refused", "SRC_THROTTLED")
    assert standing.waited == [1.0] * MOST_WAITS
    kept = list((standing.world.office.settings.instance / "pulls").rglob("users-*"))
    assert len(kept) == 3  # 125 people, by fifties
    pages = len(kept_pages(standing.world))
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    assert not any(CAST["amara"].encode() in path.read_bytes() for path in kept)  # sealed
    again = standing.pull()
    assert again.state == "published"
    assert again.pulled["requests"] == whole - pages
    assert {one["collection"]: one["pages"] for one in again.pulled["collections"]}["users"] == len(kept)
    assert kept_pages(standing.world) == []


def test_pages_that_were_kept_for_too_long_are_read_anew(standing):
    whole = standing.pull().pulled["requests"]
    standing.fault("enrollments", "429", MOST_WAITS + 1)
    standing.pull()
    standing.world.clock.forward(hours=7)
    again = standing.pull()
    assert (again.state, again.pulled["requests"]) == ("unchanged", whole)


def test_a_broken_answer_in_the_middle_is_asked_for_again(standing):
    standing.fault("classes", "500", 2)
    before = holdings(standing.world)
    assert standing.pull().state == "unchanged"
    assert standing.waited == [1.0, 1.0]
    standing.fault("classes", "drop_after", 99)
    assert standing.pull().code == "SRC_UNREACHABLE"
    assert holdings(standing.world) == before
    standing.fault("classes", "", 0)
    assert standing.pull().state == "unchanged"


# --- what changed since ----------------------------------------------------------------------------------


def test_how_far_a_source_was_read_is_kept(standing):
    source = standing.source
    assert source.cursor.isoformat() == "2026-09-01T06:30:00+00:00"
    assert source.full_at == standing.world.clock.at
    assert source.capabilities["filter"] is True
    assert pull.services.wants_everything(source, standing.world.clock.at) is False
    standing.world.clock.forward(days=7)
    assert pull.services.wants_everything(source, standing.world.clock.at) is True


def test_a_clock_that_is_ahead_hides_no_change(standing):
    now = standing.world.clock.at
    pull.note_read(standing.parts, standing.world.by.district, standing.source, Asked(), now + timedelta(days=300))
    assert standing.source.cursor == now


def test_changes_are_asked_for_with_an_overlap(standing):
    standing.night(2)
    with pull.fetched(standing.parts, standing.world.by.district, standing.source, Asked(changes=True)) as found:
        told = found.told
    assert told["since"] == "2026-08-31T06:30:00+00:00"
    assert told["mode"] == "changes"


def test_changes_bring_what_everything_would(standing, url, fresh_worlds):
    (other,) = fresh_worlds(1)
    whole = District(other, url, "plain")
    assert whole.pull().state == "published"
    standing.behave(largest_page=50)
    standing.night(2)
    changed = standing.pull(changes=True)
    assert (changed.state, changed.pulled["mode"], whole.pull().state) == ("published", "changes", "published")
    moved = {kind: n for kind, n in changed.schools[0]["kinds"].items() if n["added"] + n["changed"] + n["removed"]}
    assert moved["enrollment"] == {"before": 100, "added": 2, "changed": 0, "removed": 1}
    assert set(moved) == {"user", "class", "enrollment", "demographics"}
    bodies = [{at: content(row) for at, row in live(one).items()} for one in (standing.world, other)]
    assert bodies[0] == bodies[1]
    assert standing.pull().state == "unchanged"


def test_changes_before_anything_was_read_are_refused(world, url):
    district = District(world, url, "plain")
    assert district.pull(changes=True).code == "REQ_INVALID"
    district.behave(filters=False)
    assert district.pull().state == "published"
    assert district.pull(changes=True).code == "SRC_ANSWER"
    assert "every pull is a full one" in district.test()["changes"].seen
    refused = district.pull(changes=True)
    assert (refused.code, refused.refusal["detail"]) == (
        "REQ_INVALID", "this source does not say what changed; pull everything",
    )  # fmt: skip


# --- the hours that are kept free --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "hour", "inside"),
    [("07:30-16:00", 13, True), ("07:30-16:00", 12, False), ("07:30-16:00", 22, False), ("22:00-05:00", 10, True)],
)
def test_a_source_is_not_pulled_in_the_hours_that_are_kept_free(world, url, window, hour, inside):
    """Chicago is six hours behind in November."""
    world.clock.at = world.clock.at.replace(hour=hour, minute=45)
    district = District(world, url, "plain", peak=(window,), zone="America/Chicago")
    report = district.pull()
    assert report.code == ("SRC_PEAK" if inside else None)
    assert district.pull(in_peak=True).state in ("published", "unchanged")


def test_the_peaks_of_a_source_and_those_of_the_district_are_one_rule(world, url):
    """Chicago is six hours behind in November: 09:00 is its 03:00, and 15:00 its 09:00."""
    district = District(world, url, "plain", peak=("02:00-08:00",), zone="America/Chicago")
    office, by = world.office, world.by
    timetable.set_plan(office, by, "sis", {"at": "18:30", "peaks": ["14:00-18:00"]})
    assert district.pull().code == "SRC_PEAK"
    assert district.night_of_the_timetable() is None
    shown = timetable.show(office, by, "sis")
    assert (shown["said"], shown["their_peaks"]) == ("SRC_PEAK", ["02:00-08:00 America/Chicago"])
    assert shown["next"].astimezone(UTC).strftime("%H:%M") == "18:00"
    world.clock.forward(hours=6)
    assert district.pull().code == "SRC_PEAK"
    world.clock.forward(hours=3)
    assert district.night_of_the_timetable().state == "published"
    with pytest.raises(Refused, match="no hour of the day is left"):
        timetable.set_plan(office, by, "sis", {"at": "09:00", "peaks": ["13:30-08:30"]})
    assert timetable.show(office, by, "sis")["peaks"] == ["14:00-18:00"]


# --- by itself, every night --------------------------------------------------------------------------------


def test_the_first_night_reads_everything_and_the_next_what_changed(world, url):
    district = District(world, url, "plain")
    assert timetable.show(world.office, world.by, "sis")["nightly"] is True
    first = district.night_of_the_timetable()
    assert (first.state, first.pulled["mode"]) == ("published", "everything")
    assert run_of(district, first.run).acted_by == TIMETABLE
    assert (district.source.full_at, district.source.probed_at) == (world.clock.at, world.clock.at)
    world.clock.forward(days=1)
    assert district.night_of_the_timetable().pulled["mode"] == "changes"
    assert district.source.probed_at == world.clock.at
    world.clock.forward(days=7)
    assert district.night_of_the_timetable().pulled["mode"] == "everything"
    assert district.source.full_at == world.clock.at


def test_what_a_service_offers_otherwise_than_before_is_told(standing):
    assert standing.told() == []
    standing.behave(largest_page=50, filters=False, lacks=["demographics"])
    standing.world.clock.forward(days=1)
    report = standing.night_of_the_timetable()
    assert (report.state, report.pulled["mode"]) == ("unchanged", "everything")  # it does not say what changed any more
    assert standing.told() == [("changed", "SRC_OFFER_CHANGED", {"changes": 2})]
    assert standing.source.capabilities["collections"]["demographics"] == 404
    standing.world.clock.forward(days=1)
    standing.night_of_the_timetable()
    assert len(standing.told()) == 1


def test_what_no_agreement_names_is_not_asked_for(standing):
    """Neither by a pull nor by a probe nor by a test: a service that would refuse it is not heard of it."""
    world = standing.world
    on_file.end(world.office, world.by, "agreement", world.agreements["SIS Inc"])
    less = [element for element in COLLECTED if element != "DEM"]
    world.agree("SIS Less", "sis", less, ("roster.import",), ("rostering",), (ALDER, BIRCH), directed=False)
    standing.behave(largest_page=50, lacks=["demographics"])
    report = standing.pull()
    assert (report.state, report.pulled["unasked"]) == ("published", ["demographics"])
    assert "demographics" not in {one["collection"] for one in report.pulled["collections"]}
    assert "no agreement names what they hold: demographics" in "\n".join(lines(report, "sis"))
    assert standing.counts()["demographics"] == 0
    world.clock.forward(days=1)
    assert standing.night_of_the_timetable().state == "unchanged"
    assert "demographics" not in standing.source.capabilities["collections"]
    assert standing.test()["collections"].seen == "All 6 that are asked for are offered."
    assert standing.told() == []


def test_what_an_agreement_names_again_is_looked_for_first(standing):
    test_what_no_agreement_names_is_not_asked_for(standing)
    world = standing.world
    on_file.end(world.office, world.by, "agreement", world.agreements["SIS Less"])
    world.agree("SIS More", "sis", COLLECTED, ("roster.import",), ("rostering",), (ALDER, BIRCH), directed=False)
    assert standing.pull().pulled["unasked"] == []
    assert standing.source.capabilities["collections"]["demographics"] == 404
    assert standing.counts()["demographics"] == 0
    standing.behave(largest_page=50)
    world.clock.forward(days=1)
    report = standing.night_of_the_timetable()
    assert (report.state, report.pulled["mode"]) == ("published", "everything")
    assert standing.counts() == ALDER_HIGH
    assert standing.told() == [("changed", "SRC_OFFER_CHANGED", {"changes": 1})]


def test_a_night_after_another_agreement_reads_everything(standing):
    """What changed there holds nothing of what was not collected before."""
    world = standing.world
    world.clock.forward(days=1)
    assert standing.night_of_the_timetable().pulled["mode"] == "changes"
    on_file.end(world.office, world.by, "agreement", world.agreements["SIS Inc"])
    world.agree("SIS Less", "sis", ["SNM", "DEM"], ("roster.import",), ("rostering",), (ALDER, BIRCH), directed=False)
    for mode in ("everything", "changes"):
        world.clock.forward(days=1)
        assert standing.night_of_the_timetable().pulled["mode"] == mode


def test_what_drifted_is_told(standing):
    same = standing.pull()
    pull.note_drift(standing.parts, standing.world.by.district, same, pull.drift_of(same, same))
    assert (standing.source.drift, standing.told()) == (0, [])
    standing.night(2)
    whole = standing.pull()
    pull.note_drift(standing.parts, standing.world.by.district, whole, pull.drift_of(same, whole))
    moved = sum(of[n] for at in whole.schools for of in at["kinds"].values() for n in ("added", "changed", "removed"))
    assert (standing.source.drift, moved) == (7, 7)
    assert standing.told() == [("drifting", "SRC_DRIFT", {"rows": 7})]


def test_a_service_that_is_down_at_night_is_a_run_that_failed_and_is_tried_again(standing):
    before = standing.counts()
    running_nights.tick(standing.world.parts)
    standing.behave(auth="oauth1")
    report = standing.night_of_the_timetable()
    assert (report.state, report.code) == ("refused", "SRC_CREDENTIALS")
    assert timetable.show(standing.world.office, standing.world.by, "sis")["attempt"] == 1
    assert (run_of(standing, report.run).state, standing.counts()) == ("refused", before)


# --- typing it in ------------------------------------------------------------------------------------------


GOOD = {"url": "https://x.example", "token_url": "https://x.example/token", "client_id": "c"}


@pytest.mark.parametrize(
    ("typed", "match"),
    [
        ({"product": "clever"}, "Clever is not pulled: its Data API is not OneRoster"),
        ({"product": "frogos"}, "products are aeries, aspen, "),
        ({"product": "aeries"}, "Aeries needs --site, --client-id"),
        ({"product": "classlink"}, "ClassLink needs --application-id"),
        ({"product": "infinitecampus", "site": "https://x.example"}, "Infinite Campus needs --token-url, --client-id"),
        ({"method": "kerberos"}, "one of oauth2, "),
        ({"version": "1.0"}, "one of 1.1, 1.2"),
        (GOOD | {"peak": ("8-16",), "zone": "Europe/Oslo"}, "two times of day"),
        (GOOD | {"peak": ("08:00-16:00",)}, "needs --zone"),
        (GOOD | {"zone": "Mars/Olympus"}, "time zone database"),
        ({"url": "ftp://x.example", "client_id": "c", "token_url": "https://x.example"}, "is not https"),
    ],
)
def test_what_is_typed_wrong_is_refused_in_words(world, typed, match):
    with pytest.raises(Refused, match=match):
        onboarding.add_service(world.office, world.by, "sis", Service(**typed), "s3cret")


def test_a_source_without_a_secret_is_refused(world):
    with pytest.raises(Refused, match="SCHOOLGATE_SOURCE_SECRET"):
        onboarding.add_service(world.office, world.by, "sis", Service(), "")


def test_a_make_knows_the_rest(public_world):
    typed = Service(product="aeries", site="https://Demo.Aeries.example/aeries/", client_id="c")
    onboarding.add_service(public_world.office, public_world.by, "sis", typed, "s3cret")
    with public_world.office.database.open_district(public_world.by.district) as session:
        kept = sources.find(session, "sis")
    assert (kept.url, kept.token_url) == (
        "https://demo.aeries.example/aeries/ims/oneroster/v1p1", "https://demo.aeries.example/aeries/token",
    )  # fmt: skip
    assert (kept.version, kept.method, len(kept.scopes)) == ("1.1", "oauth2", 3)
    assert b"s3cret" not in bytes(kept.secret)


# --- at the command line -----------------------------------------------------------------------------------


def test_the_whole_way_at_the_command_line(world, url):
    district = District(world, url, "powerschool")
    root = f"{url}/powerschool"
    done = district.command(
        "source", "add", "second", "--kind", "rest", "--product", "powerschool", "--client-id", CLIENT_ID, "--url",
        f"{root}/ws/v1p1/ims/oneroster/v1p1", "--token-url", f"{root}/oauth/access_token",
    )  # fmt: skip
    assert (done.exit_code, "Next: schoolgate source test second" in done.stdout) == (0, True), done.output
    done = district.command("source", "test", "second")
    assert done.exit_code == 0, done.output
    done = district.command("sync", "apply", "sis", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["state"] == "published", done.output
    done = district.command("source", "list")
    assert "powerschool" in done.stdout
    done = district.command("sync", "reconcile", "sis")
    assert done.stdout.count("Nothing changed") == 2, done.output
    assert done.stdout.endswith("Drift: 0 rows.\n")
    said = json.loads(district.command("sync", "reconcile", "sis", "--json").stdout.splitlines()[-1])
    assert (said["drift"], said["changes"]["state"], said["state"]) == (0, "unchanged", "unchanged")
    district.behave(lacks=["users"])
    done = district.command("source", "test", "second")
    assert (done.exit_code, "users (404)" in done.stdout, "the registrar" in done.stdout) == (1, True, True)
    done = district.command("sync", "plan", "sis")
    assert (done.exit_code, "SRC_COLLECTION" in done.stdout) == (1, True), done.output
    done = district.command("sync", "reconcile", "sis")
    assert (done.exit_code, done.stdout.endswith("Drift: not known, as both readings are needed.\n")) == (1, True)


def test_a_file_source_has_no_service_to_test(world):
    world.onboard("A")
    with pytest.raises(Refused, match="only a source of --kind rest"):
        source_test.run(world.parts, world.by, "sis")
    with pytest.raises(Refused, match="there is no source frog"):
        source_test.run(world.parts, world.by, "frog")
