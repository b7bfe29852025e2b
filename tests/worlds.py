"""A district of a test's own, onboarded through the product's own flows, and callers at its front door."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.app import create_app, make_parts
from gateway.clock import Clock
from gateway.flows import on_file, onboarding, rosters
from gateway.flows.parts import Office, Parts
from gateway.identity import staff
from gateway.ledger import entry, log
from gateway.policy.minimise import every_record
from gateway.store import directory
from gateway.store.tenant import Place, Session
from tests import canaries
from tests.deliveries import Delivery, two_schools

OR = "https://purl.imsglobal.org/spec/or/v1p2/scope/"
ROSTER, CORE, DEMOGRAPHICS = OR + "roster.readonly", OR + "roster-core.readonly", OR + "roster-demographics.readonly"
READ = "/ims/oneroster/rostering/v1p2"
NAMES = ("SNM", "ENR", "SCH")
COLLECTED = ("SNM", "ENR", "SCH", "SID", "SCI", "PGI", "DEM")  # by an agreement to import
DOCUMENT = "0" * 64  # the hash of a signed agreement
UNTIL = datetime(2030, 7, 1, tzinfo=UTC)
APP_SCOPES = ("launch.read", "members.read", "results.write", "transfers.read", "transcripts.write")


class Steered:
    """A clock that stands still until the test moves it."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.clock = Clock(lambda: self.at)

    def forward(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass
class Caller:
    """A vendor or the application at the front door, with a token of its own."""

    client: FlaskClient
    client_id: str
    secret: str
    scopes: tuple[str, ...]
    token: str = ""

    def sign_in(self, *scopes: str) -> Caller:
        answer = self.client.post(
            "/oauth2/token", data={"grant_type": "client_credentials", "scope": " ".join(scopes or self.scopes)},
            auth=(self.client_id, self.secret),
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        self.token = answer.json["access_token"]
        return self

    def call(self, method: str, path: str, **more: Any) -> TestResponse:
        if not self.token:
            self.sign_in()
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.call("GET", path, **more)

    def read(self, path: str) -> TestResponse:
        return self.get(f"{READ}/{path}")


class World:
    """One district: its administrator, its schools by name, the flows that act on it."""

    def __init__(self, office: Office, clock: Steered, policy: str = "strictest", like: World | None = None) -> None:
        """`like` another world: its records are seeded with the same tokens, to be compared."""
        self.office, self.clock, self.canaries = office, clock, canaries.current()
        self.district, _, self.token = onboarding.add_district(office, "Test District", "D. Admin", policy)
        self.by = staff.person(office.database, self.token, clock.at)
        self.source, self.left_by = "", ""
        self.places: dict[str, Place] = {}
        self.refs: dict[str, str] = {}
        self.agreements: dict[str, str] = {}
        self.seeds: int | None = like.seeds if like else self.by.district
        self._numbers = itertools.count()

    def unseeded(self) -> World:
        """Leave deliveries as the test wrote them: for one that spoils their bytes or compares its own texts."""
        self.seeds = None
        return self

    # --- the running gateway ---------------------------------------------------------------------

    @cached_property
    def parts(self) -> Parts:
        return make_parts(self.office, every_record)

    @cached_property
    def app(self) -> Flask:
        return self.canaries.listen(create_app(self.parts))

    @cached_property
    def client(self) -> FlaskClient:
        return self.app.test_client(use_cookies=False)  # a test hands in the cookies it means

    # --- onboarding ------------------------------------------------------------------------------

    def onboard(self, *orgs: str, covered: bool = True) -> World:
        """Make a source and a school for each org of it; `covered` records the agreement to import."""
        if not self.source:
            self.source = onboarding.add_source(self.office, self.by, "sis", None, None, None, "")
        for org in orgs:
            ref = onboarding.add_school(self.office, self.by, f"School {org}", self.source, org)
            (self.places[org],) = onboarding.places(self.office, self.by, [ref])
            self.refs[org] = ref
            self.canaries.read[self.places[org]] = 0
        if covered:
            self.agree("SIS Inc", "sis", COLLECTED, ("roster.import",), ("rostering",), schools=orgs, directed=False)
        return self

    def found(self, *orgs: str) -> World:
        """Make schools whose logs hold nothing yet, as no school is that was onboarded: for tests of the log itself."""
        for org in orgs:
            ref = self.office.ids.new("sch")
            with self.office.database.open_district(self.by.district) as session:
                place = directory.add_school(session, ref, f"School {org}", None, None, self.clock.at, self.by.ref)
                assert place
                session.narrow(place)
                log.start(session, self.office.vault, ref, self.office.ids.new("key"), self.clock.at)
            self.places[org], self.refs[org], self.canaries.read[place] = place, ref, 0
        return self

    def agree(
        self, vendor: str, category: str, schedule: Iterable[str], operations: Iterable[str],
        purposes: Iterable[str], schools: Sequence[str] = (), *, directed: bool = True, launch_url: str | None = None,
        **more: Any,
    ) -> str:  # fmt: skip
        """Record an agreement with a vendor, made on first mention, and its standing directions."""
        names = [self.refs[org] for org in schools]
        if vendor not in self.agreements:
            onboarding.add_vendor(self.office, self.by, vendor, category, f"privacy@{category}.example", launch_url)
        begun = self.clock.at - timedelta(days=30)
        terms = {"effective_at": begun, "expires_at": UNTIL, "retention_days": 365, "school_agent": True,
                 "commitments": ["all"], "document": DOCUMENT, "assured": begun} | more  # fmt: skip
        said = {"vendor": vendor, "schools": names, "schedule": list(schedule), "purposes": list(purposes),
                "operations": list(operations)}  # fmt: skip
        self.agreements[vendor] = ref = self.file("agreement", **(said | terms))
        for operation in operations if directed else ():
            self.direct(ref, operation, schools)
        return ref

    def direct(self, agreement: str, operation: str, schools: Sequence[str] = (), **more: Any) -> str:
        said = {"expires_at": UNTIL, "agreement": agreement, "operation": operation} | more
        return self.file("direction", **said, schools=[self.refs[org] for org in schools])

    def file(self, kind: str, **said: Any) -> str:
        """Put a paper on file, in its words or those of the tables."""
        spelled = {"effective_at": "from", "expires_at": "until", "from_": "from"}
        words = {spelled.get(k, k): v.isoformat() if isinstance(v, datetime) else v for k, v in said.items()}
        return on_file.record(self.office, self.by, kind, words)

    def connect(self, vendor: str, *scopes: str, schools: Sequence[str] = ()) -> Caller:
        """Make credentials for a vendor and return a caller that holds them."""
        names = [self.refs[org] for org in schools]
        client_id, secret = onboarding.connect_vendor(
            self.office, self.by, vendor, self.agreements[vendor], names, scopes, None
        )
        return Caller(self.client, client_id, secret or "", scopes)

    def reader(self, *schools: str, schedule: Iterable[str] = NAMES, name: str = "Reader", **more: Any) -> Caller:
        """A vendor that may read the rosters of these schools."""
        self.agree(name, "assessment", schedule, ("roster.read",), ("rostering",), schools, **more)
        return self.connect(name, ROSTER, DEMOGRAPHICS, schools=schools)

    # --- rosters ---------------------------------------------------------------------------------

    def deliver(self, delivery: Delivery, *, publish: bool = True, folder: bool = False) -> rosters.Report:
        path = self.office.settings.instance.parent / f"delivery{next(self._numbers)}"
        seeded = self.canaries.seed(delivery, self.by.district, self.places, self.seeds)
        return self.sync(seeded.folder(path) if folder else seeded.zip(path.with_suffix(".zip")), publish=publish)

    def sync(self, delivered: Path, *, publish: bool = True) -> rosters.Report:
        report = rosters.sync(self.office, self.by.district, self.source, delivered, self.by.ref, publish=publish)
        self.canaries.nowhere("report of a delivery", f"{report.as_dict()} {report.faults}")
        return report

    def bring(self, delivery: Delivery) -> rosters.Report:
        """Publish a delivery; a second person releases what a guard holds. `left_by` is then the run after which the
        schools hold all of it: the release, where there was one."""
        seeded = self.canaries.seed(delivery, self.by.district, self.places, self.seeds)
        delivered = seeded.zip(self.office.settings.instance.parent / f"delivery{next(self._numbers)}.zip")
        report = self.sync(delivered)
        self.left_by = report.run
        if report.state == "held":
            second, _ = onboarding.add_staff(self.office, self.by, "S. Second", "district_admin", None)
            released = rosters.release(self.office, self.by.district, report.run, second)
            assert released.state in ("published", "unchanged"), released.as_dict()
            self.left_by = released.run
            return report
        assert report.state in ("published", "unchanged"), report.as_dict()
        return report

    def leaves(self, *people: str, at: str = "") -> None:
        """A night on which these people are in no row any more, or in none of one school."""
        delivery = two_schools(12)
        files = ("roles.csv", "enrollments.csv") if at else ("users.csv", "roles.csv", "enrollments.csv",
                                                             "demographics.csv")  # fmt: skip
        for name in files:
            delivery.rows[name] = [
                row for row in delivery.rows[name] if not ({*row.values()} & {*people} and at in (*row.values(), ""))
            ]
        self.bring(delivery)

    def standing(self, pupils: int = 12) -> World:
        """Schools A and B with a published roster."""
        self.onboard("A", "B")
        report = self.deliver(two_schools(pupils))
        assert report.state == "published", report.as_dict()
        return self

    # --- what is written down --------------------------------------------------------------------

    def ledger(self, org: str) -> list[dict[str, Any]]:
        with self.office.database.open_school(self.places[org]) as session:
            return [entry.decode(body) for body in log.bodies(session)]

    def sign(self, session: Session) -> tuple[str, str]:
        """Sign a checkpoint of the session's school, as this machine; return the note and the verifier key."""
        return log.sign_checkpoint(session, self.office.vault, self.clock.at, self.office.settings.checkpoints)

    def denials(self, org: str) -> list[str]:
        return [one["reason"] for one in self.ledger(org) if one["type"] == "denial"]
