"""The only list of connectors, and the verbs each offers."""

from __future__ import annotations

from types import MappingProxyType

from connectors.contract import KeepsColumns, ListsGroups, ListsMembers, PullsRoster, TakesScores
from connectors.lti_advantage import LtiAdvantage
from connectors.oneroster_bulk import BulkSource
from connectors.oneroster_rest import RestSource
from connectors.sftp import SftpSource

CONNECTORS = MappingProxyType(
    {
        "lti_advantage": (LtiAdvantage, (ListsMembers, ListsGroups, TakesScores, KeepsColumns)),
        "oneroster_bulk": (BulkSource, (PullsRoster,)),
        "sftp": (SftpSource, (PullsRoster,)),
        "oneroster_rest": (RestSource, (PullsRoster,)),
    }
)
