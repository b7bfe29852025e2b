"""Sources whose deliveries come by themselves: a folder that is watched, an SFTP server, a machine with a token."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from connectors.errors import ConnectorError
from connectors.sftp import Place, read_fingerprint
from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows.onboarding.sources import keep
from gateway.flows.parts import Office
from gateway.flows.rosters import kinds, watching
from gateway.flows.rosters.timetable import named
from gateway.identity.staff import Person
from gateway.store import credentials, directory, sources
from gateway.store.secrets import token_hash

TOKEN_DAYS = 365
Where = tuple[str, int, str, str]  # host, port, user, path


def add_folder(parts: Office, by: Person, name: str, path: str) -> str:
    """Make a source whose deliveries are found in a folder. Raises Refused unless the operator lets the district watch
    it, and where another source of the district does: whichever looked first would take what lies there."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        own, others = directory.district_ref(session), sources.listing(session)
    watching.allowed(parts.settings, path, own)
    url = f"file://{quote(str(Path(path)))}"
    taken = next((row.name for row in others if row.url == url), None)
    if taken:
        raise Refused(errors.REQ_CONFLICT, f"source {taken} watches this folder")
    return keep(parts, by, name, kinds.WATCHED, url=url)


def add_sftp(parts: Office, by: Person, name: str, where: Where, secret: str, host_key: str) -> str:
    """Make a source whose delivery is fetched by SFTP from the server that has this host key. Raises Refused."""
    by.acts_for_district()
    if not secret:
        raise Refused(errors.REQ_INVALID, "put the password or the private key into SCHOOLGATE_SOURCE_SECRET")
    try:
        known = read_fingerprint(host_key)
    except (ValueError, IndexError) as error:
        raise Refused(errors.REQ_INVALID, "a host key is SHA256:… or a line of known_hosts") from error
    return keep(parts, by, name, kinds.SFTP, secret, url=_address(where), host_key=known)


def _address(where: Where) -> str:
    """Return the address of a file on an SFTP server. Raises Refused."""
    host, port, user, path = where
    bare = f"[{host}]" if ":" in host else host
    url = f"sftp://{quote(user, safe='')}@{bare}:{port}/{quote(path.lstrip('/'))}"
    try:
        Place.of(url)
    except ConnectorError as error:
        raise Refused(errors.REQ_INVALID, str(error)) from error
    return url


def shown_host_key(parts: Office, by: Person, where: Where) -> str:
    """Ask a server for its host key, without signing in, for somebody to compare. Raises Refused."""
    from gateway.flows.rosters import pull

    by.acts_for_district()
    try:
        return pull.sftp(parts, _address(where), "", "", 0).shown_key()
    except ConnectorError as error:
        raise Refused(VOCABULARY[error.code], str(error)) from error


def make_token(parts: Office, by: Person, name: str) -> tuple[str, str]:
    """Make the token with which a machine hands in deliveries of one source, in place of any before it. Return (source,
    token)."""
    by.acts_for_district()
    token, now = parts.ids.secret(), parts.clock.now()
    with parts.database.open_district(by.district) as session:
        found = named(session, name)
        credentials.end_source_tokens(session, found.source, now)
        credentials.keep_source_token(session, token_hash(token), found.source, now, by.ref, timedelta(days=TOKEN_DAYS))
    return found.source, token
