"""Onboarding: districts, schools, people, sources, LMSs and vendors, by a named person."""

from gateway.flows.onboarding.lines import Lms, add_lms, agree_lms, grant_lms, link_class, switch_lms
from gateway.flows.onboarding.places import (
    add_district,
    add_school,
    add_schools,
    add_staff,
    places,
    readable_schools,
    repairs_for_schools,
)
from gateway.flows.onboarding.profiles import complete, ours, sheet
from gateway.flows.onboarding.sources import Service, add_service, add_source, guard_source, repair_source
from gateway.flows.onboarding.vendors import add_vendor, connect_vendor

__all__ = [
    "Lms",
    "Service",
    "add_district",
    "add_lms",
    "add_school",
    "add_schools",
    "add_service",
    "add_source",
    "add_staff",
    "add_vendor",
    "agree_lms",
    "complete",
    "connect_vendor",
    "grant_lms",
    "guard_source",
    "link_class",
    "ours",
    "places",
    "readable_schools",
    "repair_source",
    "repairs_for_schools",
    "sheet",
    "switch_lms",
]
