"""The door: a login begins, and a message arrives. What it is decides where it leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows.launch import diagnosis, hand_over, linking, privacy
from gateway.flows.launch.hand_over import CODE_SECONDS, LAUNCH_HOURS, Arrival, Entry
from gateway.flows.launch.linking import Unlinked
from gateway.flows.launch.privacy import Privacy
from gateway.flows.launch.waiting import history
from gateway.flows.parts import Parts
from gateway.identity import migration
from gateway.identity.launch import Admitted, GatewayLaunch
from gateway.identity.login import Begun, GatewayLogin
from gateway.store import registrations
from gateway.store.tenant import Place, Session
from mappings import lti_items
from mappings.products import product

Door = Entry | Unlinked | Privacy

__all__ = ["CODE_SECONDS", "LAUNCH_HOURS", "Door", "Entry", "arrive", "begin"]


def begin(parts: Parts, parameters: Mapping[str, str]) -> Begun:
    """Begin a login: where the browser goes next, and what binds it. Raises Refused (LI-1 to LI-9)."""

    def is_target(url: str) -> bool:
        return lti_items.read_activity_link(url)[0] == parts.launch_url

    return GatewayLogin(parameters, parts.registrations, parts.states, is_target).begin(parts.launch_url)


def arrive(parts: Parts, form: Mapping[str, str], cookies: Mapping[str, str], support: str) -> Door:
    """Let a message in and return where it leads: for a launch, the application's address with a one-time code.

    Nonce, launch, code and ledger entry become true in one transaction. Raises Refused, and Unproven where the LMS is
    to be asked about the browser. A failure is kept under `support` for who looks after the registration.
    """
    gate = GatewayLaunch(form, cookies, parts.registrations, parts.states, parts.keys, parts.clock)
    try:
        gate.validate()
        return _enter(parts, gate)
    except Refused as refused:
        if refused.reason is errors.LTI_PLATFORM_ERROR:  # this login is over (LV-02)
            with parts.database.open_identity() as session:
                gate.spend(session)
        diagnosis.keep(parts, gate, refused, support)
        refused.facts = {**refused.facts, "way_back": diagnosis.way_back(gate, refused, support)}
        raise


def _enter(parts: Parts, gate: GatewayLaunch) -> Door:
    with parts.database.open_identity() as session:
        session.flush_after_commit()
        admitted, found = gate.consume(session)
        try:
            outcome = _lead(parts, session, admitted, found)
        except Refused as refused:
            if refused.reason is errors.LED_UNAVAILABLE:
                raise
            outcome = refused  # the nonce stays used
    if isinstance(outcome, Refused):
        if outcome.reason is not errors.LTI_CONTEXT_UNLINKED:
            raise outcome
        offered = linking.offer(parts, admitted, found)
        if offered is None:
            raise outcome
        return offered
    return outcome


def _lead(parts: Parts, session: Session, admitted: Admitted, found: Any) -> Entry | Privacy | Refused:
    kind = admitted.message["kind"]
    _require_deployment(parts, session, admitted, found)
    if kind == "data_privacy":
        return privacy.explain(session, found, parts.clock.now())
    before = migration.user_before(session, parts.vault, admitted)
    arrival = replace(_locate(parts, session, admitted, found), before=before)
    session.narrow(arrival.place)
    return hand_over.hand_over(parts, session, admitted, arrival)


def _require_deployment(parts: Parts, session: Session, admitted: Admitted, row: Any) -> None:
    if row.registration_status != "active":
        raise Refused(errors.LTI_REGISTRATION_DISABLED)
    if row.deployment is None or row.deployment_status != "active":
        if row.deployment is None and "shared_client" not in product(admitted.platform.product).launch:
            waits = admitted.message["deployment_id"], "", admitted.platform.home
            registrations.keep_waiting(session, admitted.platform.ref, *waits, None, None, parts.clock.now())
        raise Refused(errors.LTI_DEPLOYMENT)


def _locate(parts: Parts, session: Session, admitted: Admitted, row: Any) -> Arrival:
    """Find the school: the stored link from the course to a class, inside the deployment's schools."""
    context = admitted.message.get("context")
    if context is None:
        raise Refused(errors.LTI_CONTEXT)
    links = [link for link in row.links or () if link["school"] in (row.schools or ())]
    if len(links) != 1:
        waits = admitted.message["deployment_id"], context["id"], row.district, row.deployment, context.get("title")
        origins = history(admitted.message)
        registrations.keep_waiting(session, admitted.platform.ref, *waits, parts.clock.now(), origins)
        raise Refused(errors.LTI_CONTEXT_UNLINKED)
    place = Place(row.district, links[0]["school"])
    return Arrival(place, row.deployment, context["id"], links[0]["class_id"])
