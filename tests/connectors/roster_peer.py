"""A OneRoster service on loopback that keeps to the standard, and leaves it where a test says so."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.connectors.peer import Peer, reply

BASE = "/ims/oneroster/rostering/v1p2"
PLACES = {"orgs": "org", "academicSessions": "academicSession", "courses": "course", "users": "user",
          "classes": "class", "enrollments": "enrollment", "demographics": "demographics"}  # fmt: skip
Object = dict[str, Any]


def ref(kind: str, sourced_id: str) -> Object:
    return {"href": f"https://sis.example/{kind}/{sourced_id}", "sourcedId": sourced_id, "type": kind}


def frame(sourced_id: str, **more: Any) -> Object:
    return {"sourcedId": sourced_id, "status": "active", "dateLastModified": "2026-09-01T00:00:00.000Z", **more}


def district(pupils: int = 5) -> dict[str, list[Object]]:
    """A school with a class, a teacher and pupils, as objects of 1.2."""
    year = {"startDate": "2026-08-01", "endDate": "2027-06-30", "schoolYear": "2027"}
    people = [_person("t1", "teacher"), *(_person(f"p{n:02}", "student", grades=["09"]) for n in range(pupils))]
    return {
        "orgs": [frame("d", name="District", type="district", identifier="1"),
                 frame("A", name="School A", type="school", identifier="2", parent=ref("org", "d"))],
        "academicSessions": [frame("y", title="2026-27", type="schoolYear", **year),
                             frame("t", title="Fall", type="term", parent=ref("academicSession", "y"), **year)],
        "courses": [frame("c", title="Algebra", courseCode="ALG", org=ref("org", "d"))],
        "users": people,
        "classes": [frame("k", title="Algebra 1", classType="scheduled", grades=["09"], subjects=["Math"],
                          course=ref("course", "c"), school=ref("org", "A"), terms=[ref("academicSession", "t")])],
        "enrollments": [_enrollment(one["sourcedId"], one["roles"][0]["role"]) for one in people],
        "demographics": [frame(one["sourcedId"], birthDate="2010-03-04", sex="unspecified") for one in people[1:]],
    }  # fmt: skip


def _person(sourced_id: str, role: str, **more: Any) -> Object:
    roles = [{"roleType": "primary", "role": role, "org": ref("org", "A")}]
    return frame(sourced_id, enabledUser="true", username=f"u.{sourced_id}", givenName=f"Given{sourced_id}",
                 familyName=f"Family{sourced_id}", roles=roles, **more)  # fmt: skip


def _enrollment(person: str, role: str) -> Object:
    return frame(f"e.{person}", user=ref("user", person), **{"class": ref("class", "k")}, school=ref("org", "A"),
                 role=role)  # fmt: skip


def of_1p1(found: dict[str, list[Object]]) -> dict[str, list[Object]]:
    """The same district in the words of 1.1: a person has one role, and orgs."""
    people = []
    for one in found["users"]:
        said = {key: value for key, value in one.items() if key != "roles"}
        people.append(said | {"role": one["roles"][0]["role"], "orgs": [role["org"] for role in one["roles"]]})
    return found | {"users": people}


@dataclass
class Roster:
    """What the service holds. `odd` may answer a request in its place: it is given path, query and the number of the
    request, and returns bytes of the wire or None."""

    objects: dict[str, list[Object]] = field(default_factory=district)
    page: int = 2  # the longest it makes
    total: bool = True
    links: bool = True
    relative: bool = False
    token: str = "t0k"
    odd: Callable[[str, dict[str, str], int], bytes | None] = lambda *_: None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def script(self, line: socket.socket, peer: Peer) -> None:
        while request := peer.hear(line):
            target = urlsplit(request.split(b" ", 2)[1].decode())
            path, query = target.path.removeprefix(BASE + "/"), dict(parse_qsl(target.query))
            if target.path == "/token":
                line.sendall(reply(json.dumps({"access_token": self.token, "token_type": "Bearer",
                                               "expires_in": 600}).encode()))  # fmt: skip
                continue
            self.asked.append((path, query))
            answer = self.odd(path, query, len(self.asked))
            line.sendall(self.answer(path, query, peer) if answer is None else answer)

    def answer(self, path: str, query: dict[str, str], peer: Peer, **more: str) -> bytes:
        if path not in self.objects:
            return reply(b"{}", "404 Not Found")
        found = [one for one in self.objects[path] if one["dateLastModified"] >= _since(query)]
        offset, limit = int(query.get("offset", 0)), min(int(query.get("limit", 100)), self.page)
        headers = {"X-Total-Count": str(len(found))} if self.total else {}
        if self.links:
            following = f"{BASE if self.relative else peer.url(BASE)}/{path}?limit={limit}&offset={offset + limit}"
            there = offset + limit < len(found)
            headers["Link"] = f'<{following}>; rel="next"' if there else f'<{following}>; rel="first"'
        body = json.dumps({path: found[offset : offset + limit]}).encode()
        return reply(body, headers=headers | more)


def _since(query: dict[str, str]) -> str:
    return query.get("filter", "").partition(">='")[2].rstrip("'")
