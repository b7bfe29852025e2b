"""Onboarding: districts, schools, people, sources, LMSs, vendors, agreements, directions, by a named person."""

from gateway.flows.onboarding.agreements import Terms, add_agreement, add_direction, end_agreement, revoke_direction
from gateway.flows.onboarding.lines import Lms, add_lms, add_source, agree_lms, link_class
from gateway.flows.onboarding.places import add_district, add_school, add_schools, add_staff, places
from gateway.flows.onboarding.vendors import add_vendor, connect_vendor

__all__ = [
    "Lms",
    "Terms",
    "add_agreement",
    "add_direction",
    "add_district",
    "add_lms",
    "add_school",
    "add_schools",
    "add_source",
    "add_staff",
    "add_vendor",
    "agree_lms",
    "connect_vendor",
    "end_agreement",
    "link_class",
    "places",
    "revoke_direction",
]
