"""A OneRoster bulk delivery fetched over https, with OAuth 2 client credentials where the source asks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from connectors.egress import GuardedSession, origin_of
from connectors.errors import AnswerRefused, CredentialsRefused
from connectors.tokens import Fetch, TokenBroker, TokenKey, client_secret

SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class BulkSource:
    """Where a source keeps its delivery, and how it knows us. Implements PullsRoster."""

    tenant: str
    source: str
    url: str
    token_url: str | None
    client_id: str
    secret: str
    limit: int
    broker: TokenBroker
    open_line: Callable[..., GuardedSession]

    def pull_roster(self, into: Path) -> int:
        """Download the delivery; a token that is not accepted is renewed once. Raises ConnectorError."""
        for last in (False, True):
            try:
                return self._download(into)
            except AnswerRefused as refused:
                if refused.status not in (401, 403):
                    raise
                if last or refused.status == 403 or not self.token_url:
                    raise CredentialsRefused("the source does not accept our credentials") from refused
                self.broker.forget(self._key())
        raise AssertionError("unreachable")

    def _download(self, into: Path) -> int:
        host = origin_of(self.url).authority
        with self.open_line({host}, total_seconds=SECONDS, max_bytes=self.limit) as line:
            if self.token_url:
                token = self.broker.token(self._key(), self._fetch())
                line.authorize(self.url, lambda: token.header)
            return line.download(self.url, into)

    def _key(self) -> TokenKey:
        url = self.token_url or ""
        return TokenKey(self.tenant, self.source, url, url, ())

    def _fetch(self) -> Fetch:
        host = origin_of(self.token_url or "").authority
        return client_secret(lambda: self.open_line({host}), self._key(), self.client_id, self.secret)
