"""An independent little tool (PyJWT, not joserfc) and the calls it makes at the LMS."""

from __future__ import annotations

import json
import secrets
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask, redirect, request

from gateway.sandbox import lms
from gateway.sandbox.loopback import running
from gateway.sandbox.wire import fetch

AGS = "https://purl.imsglobal.org/spec/lti-ags/scope/"
PNS = "https://purl.imsglobal.org/spec/lti/scope/noticehandlers"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
ENDPOINT = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
LTI = "https://purl.imsglobal.org/spec/lti/claim/"
ITEM = "application/vnd.ims.lis.v2.lineitem+json"
SCORE = "application/vnd.ims.lis.v1.score+json"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Desk:
    """One LMS, one tool registered at it, and what the tool saw."""

    lms: str
    told: dict
    tool: str = ""
    claims: dict = field(default_factory=dict)
    asked: dict = field(default_factory=dict)
    notices: list = field(default_factory=list)  # the claims of what came, verified
    answers: list = field(default_factory=list)  # what the next notices are answered, before 200

    def post(self, what, **body):
        return fetch("POST", f"{self.lms}/_sandbox/{what}", json=body)

    def assertion(self, **changed):
        now, me = int(time.time()), self.told["client_id"]
        claims = {"iss": me, "sub": me, "aud": self.told["token_audience"], "iat": now, "exp": now + 60}
        claims |= {"jti": secrets.token_hex(8)} | changed
        return self.signed({name: value for name, value in claims.items() if value is not None})

    def signed(self, claims):
        return jwt.encode(claims, KEY, "RS256", {"kid": "tool-1"})

    def ask_token(self, scope, assertion=None):
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        form = {"grant_type": "client_credentials", "scope": scope, "client_assertion_type": kind}
        form["client_assertion"] = assertion or self.assertion()
        return fetch("POST", self.told["token_url"], data=form)

    def call(self, method, url, scope, body=None, kind=ITEM):
        token = self.ask_token(scope).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        return fetch(method, url, headers=headers, data=json.dumps(body) if body else None)

    def column(self, **more):
        """Create a line item in the cast's course and return its id."""
        word = {"moodle": "lineitems?type_id=1", "blackboard": "lineItems"}.get(self.told["profile"], "lineitems")
        course = f"{self.lms}/courses/{self.told['cast']['course']}/{word}"
        body = {"label": "Unit 3", "scoreMaximum": 20} | more
        made = self.call("POST", course, f"{AGS}lineitem", body)
        assert made.status_code == 201, made.text
        return made.json()["id"]

    def score(self, item, user, stamp, given=17, **more):
        path, _, query = item.partition("?")
        body = {"userId": user, "timestamp": stamp, "scoreGiven": given, "scoreMaximum": 20}
        body |= {"activityProgress": "Completed", "gradingProgress": "FullyGraded"} | more
        return self.call("POST", f"{path}/scores?{query}", f"{AGS}score", body, SCORE)

    def results(self, item, extra=""):
        path, _, query = item.partition("?")
        return self.call("GET", f"{path}/results?{query}{extra}", f"{AGS}result.readonly")


def tool_app(url, desk, same_site):
    """Build a tool that binds state to a cookie and verifies the token with PyJWT."""
    app, pending = Flask("tool"), {}

    @app.route("/login", methods=["GET", "POST"])
    def login():
        desk.asked = request.values.to_dict()
        state, nonce = secrets.token_hex(8), secrets.token_hex(8)
        pending[state] = nonce
        ask = {k: desk.asked[k] for k in ("login_hint", "lti_message_hint", "client_id")}
        ask |= {"redirect_uri": f"{url}/launch", "response_type": "id_token", "scope": "openid"}
        ask |= {"response_mode": "form_post", "prompt": "none", "state": state, "nonce": nonce}
        answer = redirect(f"{desk.told['auth_url']}?{urlencode(ask)}")
        more = "; Partitioned" if same_site == "None" else ""
        cookie = f"__Host-state={state}; Path=/; Secure; HttpOnly; SameSite={same_site}{more}"
        answer.headers.add("Set-Cookie", cookie)
        return answer

    @app.post("/launch")
    def launch():
        state = request.form["state"]
        if request.cookies.get("__Host-state") != state:
            return "state is not bound to this browser", 403
        if "error" in request.form:
            return request.form["error"], 400
        desk.claims = verified(request.form["id_token"])
        assert desk.claims["nonce"] == pending.pop(state)
        return f"Welcome {desk.claims['name']}"

    def verified(token):
        keys = fetch("GET", desk.told["jwks_url"]).json()
        key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
        me, issuer = desk.told["client_id"], desk.told["issuer"]
        return jwt.decode(token, key, algorithms=["RS256"], audience=me, issuer=issuer)

    @app.post("/notices")
    def notices():
        desk.notices += [verified(one["jwt"]) for one in request.get_json()["notices"]]
        return "", desk.answers.pop(0) if desk.answers else 200

    @app.get("/jwks")
    def jwks():
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        return {"keys": [public | {"kid": "tool-1", "alg": "RS256", "use": "sig"}]}

    return app


@contextmanager
def desk_at(profile="plain", same_site="None", **tool):
    """Serve an LMS and a tool on loopback and introduce them to each other."""
    with ExitStack() as stack:
        made = {}

        def build(url):
            made["app"] = lms.create_app(url, profile)
            return made["app"]

        url = stack.enter_context(running(build))
        desk = Desk(url, made["app"].extensions["announce"])
        desk.tool = stack.enter_context(running(lambda own: tool_app(own, desk, same_site)))
        facts = {"login_url": f"{desk.tool}/login", "redirect_uris": [f"{desk.tool}/launch"]}
        facts |= {"jwks_url": f"{desk.tool}/jwks", "target_link_uri": f"{desk.tool}/launch"}
        desk.post("tool", **facts, **tool)
        yield desk
