"""A signed token, read strictly: structure, header, signature, JSON (LV-06 to LV-11)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from gateway import errors
from gateway.errors import Refused

MAX_TOKEN, MAX_DEPTH = 65_536, 20
_B64URL = re.compile(r"[A-Za-z0-9_\-]+\Z")


class _AnyHeader(jws.JWSRegistry):
    """Header words we do not use are read past (LV-07), whatever their length."""

    max_header_length = MAX_TOKEN


_REGISTRY = _AnyHeader(algorithms=["RS256"], strict_check_header=False)


def read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check a compact JWS's structure and return its header and its claims, which nothing vouches for yet (LV-06 to
    LV-08). Raises Refused."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAX_TOKEN or not all(_B64URL.match(p) for p in parts):
        raise Refused(errors.LTI_TOKEN)
    header = _part(parts[0])
    claims = _part(parts[1])
    if header.get("alg") != "RS256" or "crit" in header or "b64" in header:
        raise Refused(errors.LTI_ALG)
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= 255:
        raise Refused(errors.LTI_KID)
    return header, claims


def _part(text: str) -> dict[str, Any]:
    """Decode one part: canonical base64url, UTF-8 JSON object, unique names, bounded depth."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
            raise Refused(errors.LTI_TOKEN)
        found = strict_json(raw)
        deep = _depth(found) > MAX_DEPTH
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Refused(errors.LTI_TOKEN) from error
    if not isinstance(found, dict) or deep:
        raise Refused(errors.LTI_TOKEN)
    return found


def _depth(found: Any) -> int:
    """How many levels a JSON value has; a level more than are allowed is as deep as it is counted."""
    level, depth = [found], 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [item for one in inner for item in one]
    return depth


def verify(token: str, key: RSAKey) -> None:
    """Check that the token, spelled as it was read, is signed by this key (LV-11). Keys named in the token are never
    used. Raises Refused."""
    try:
        jws.deserialize_compact(token, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError) as error:
        raise Refused(errors.LTI_SIGNATURE) from error


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object hook that refuses a name that stands twice."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _no_constant(_name: str) -> Any:
    raise ValueError("not a finite number")


_STRICT = json.JSONDecoder(object_pairs_hook=no_duplicates, parse_constant=_no_constant)


def strict_json(text: bytes) -> Any:
    """Parse UTF-8 JSON with unique names and finite numbers. Raises ValueError."""
    return _STRICT.decode(text.decode("utf-8"))
