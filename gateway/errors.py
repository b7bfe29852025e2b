"""Every reason Schoolgate may say no: code, sentence, remedy, owner, and how each protocol spells it.

One vocabulary for launches, reads, grades, rosters and requests. A reason is a product: somebody reads
its sentence, follows its remedy and knows who has to act. `web/problems.py` is the only translator of a
reason into an answer, and what it does not know it answers with `INT_UNEXPECTED`, which says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Owner(StrEnum):
    """Who can mend it."""

    CALLER = "the caller"
    SCHOOL = "the school or district"
    VENDOR = "the vendor"
    FAMILY = "the pupil or parent"
    OPERATOR = "the operator of this gateway"
    LMS_ADMIN = "the administrator of the LMS"
    TEACHER = "the teacher"
    REGISTRAR = "the registrar who exports the roster"
    NOBODY = "nobody: this is final"


@dataclass(frozen=True, slots=True)
class Reason:
    """One entry of the vocabulary. `http` is the status outward; `imsx` the OneRoster code minor."""

    code: str
    sentence: str
    remedy: str
    owner: Owner
    http: int = 403
    imsx: str = "forbidden"


VOCABULARY: dict[str, Reason] = {}


def _reason(code: str, http: int, owner: Owner, sentence: str, remedy: str, imsx: str | None = None) -> Reason:
    spelled = imsx or _IMSX_OF_STATUS.get(http, "forbidden")
    reason = Reason(code, sentence, remedy, owner, http, spelled)
    if code in VOCABULARY:
        raise ValueError(f"{code} is defined twice")
    VOCABULARY[code] = reason
    return reason


_IMSX_OF_STATUS = {
    400: "invaliddata",
    401: "unauthorisedrequest",
    403: "forbidden",
    404: "unknownobject",
    409: "invaliddata",
    413: "invaliddata",
    422: "invaliddata",
    429: "server_busy",
    500: "internal_server_error",
    503: "server_busy",
}


class Refused(Exception):  # noqa: N818 - a refusal is not an error of ours
    """The request is refused for `reason`; `detail` holds only what the caller may read."""

    def __init__(self, reason: Reason, detail: str = "", **facts: object) -> None:
        super().__init__(f"{reason.code}: {detail or reason.sentence}")
        self.reason = reason
        self.detail = detail or reason.sentence
        self.facts: Mapping[str, object] = facts


_C, _S, _V, _F, _O = Owner.CALLER, Owner.SCHOOL, Owner.VENDOR, Owner.FAMILY, Owner.OPERATOR
_L, _T, _R, _N = Owner.LMS_ADMIN, Owner.TEACHER, Owner.REGISTRAR, Owner.NOBODY

# --- the ledger ------------------------------------------------------------------------------------
LED_UNAVAILABLE = _reason(
    "LED_UNAVAILABLE", 503, _O,
    "The disclosure ledger cannot record this transfer, so nothing was sent.",
    "Try again later; the operator must make the ledger writable.",
)  # fmt: skip
LED_CHECKPOINT_STALE = _reason(
    "LED_CHECKPOINT_STALE", 503, _O,
    "No checkpoint was signed, because the ledger does not continue what this machine has signed before.",
    "Restore the newest backup of the database, not an older one; keep instance/checkpoints, which is the evidence.",
)  # fmt: skip
LED_INVALID = _reason(
    "LED_INVALID", 409, _O,
    "The ledger bundle or receipt does not verify.",
    "Keep it, export it again and compare; a difference is evidence of a change.",
)  # fmt: skip

# --- who is calling --------------------------------------------------------------------------------
AUT_TOKEN_INVALID = _reason(
    "AUT_TOKEN_INVALID", 401, _C,
    "The access token is missing or not known here.",
    "Ask the token endpoint for a new token with your client credentials.",
)  # fmt: skip
AUT_TOKEN_EXPIRED = _reason(
    "AUT_TOKEN_EXPIRED", 401, _C,
    "The access token has expired or was revoked.",
    "Ask the token endpoint for a new token.",
)  # fmt: skip
AUT_CLIENT_INVALID = _reason(
    "AUT_CLIENT_INVALID", 401, _C,
    "The client could not be authenticated.",
    "Check the client id, and the secret or the signed assertion: audience, expiry and a fresh jti.",
)  # fmt: skip
AUT_STAFF_UNKNOWN = _reason(
    "AUT_STAFF_UNKNOWN", 401, _C,
    "The personal token is missing, expired or not known here.",
    "Set SCHOOLGATE_TOKEN to your own token; a district administrator can issue a new one.",
)  # fmt: skip
SCP_MISSING = _reason(
    "SCP_MISSING", 403, _C,
    "The token does not hold the scope this operation needs.",
    "Request a token with the scope named in the documentation of the operation.",
)  # fmt: skip
SCP_UNKNOWN = _reason(
    "SCP_UNKNOWN", 400, _C,
    "A requested scope does not exist or is not granted to this client.",
    "Request only scopes of the grant; the school can widen the grant.",
)  # fmt: skip

# --- who acts, and for which school ----------------------------------------------------------------
ACT_NOT_STAFF = _reason(
    "ACT_NOT_STAFF", 403, _S,
    "The person acting has no role at this school that allows this.",
    "Ask a district or school administrator for the role, or let somebody who has it act.",
)  # fmt: skip
ACT_NOT_TEACHER_OF_CLASS = _reason(
    "ACT_NOT_TEACHER_OF_CLASS", 403, _S,
    "The person acting does not teach this class according to the roster.",
    "Correct the enrollment in the student information system, or act for another class.",
)  # fmt: skip
ACT_WRONG_SCHOOL = _reason(
    "ACT_WRONG_SCHOOL", 403, _C,
    "This credential does not act for that school.",
    "Use the credential granted for the school.",
)  # fmt: skip
ACT_FAMILY_UNVERIFIED = _reason(
    "ACT_FAMILY_UNVERIFIED", 403, _F,
    "The family code is not valid.",
    "Ask the school for a new code; a code works for one child and a limited time.",
)  # fmt: skip
ACT_SECOND_PERSON = _reason(
    "ACT_SECOND_PERSON", 403, _S,
    "This needs a second person: whoever asked for it cannot also approve it.",
    "Let another administrator run the same command.",
)  # fmt: skip

# --- somebody entitled asked for it ----------------------------------------------------------------
DIR_MISSING = _reason(
    "DIR_MISSING", 403, _S,
    "Nobody entitled has directed this transfer.",
    "A district or school administrator adds a direction for this recipient and operation.",
)  # fmt: skip
DIR_GRANTOR_NOT_ENTITLED = _reason(
    "DIR_GRANTOR_NOT_ENTITLED", 403, _S,
    "Whoever directed this transfer may not do so under the governing policy.",
    "Let the district or a school administrator give the direction.",
)  # fmt: skip
DIR_SCOPE_MISMATCH = _reason(
    "DIR_SCOPE_MISMATCH", 403, _C,
    "The direction on file is for another recipient, operation, record or set of elements.",
    "Ask for what the direction names, or have a new direction given.",
)  # fmt: skip
DIR_EXPIRED = _reason(
    "DIR_EXPIRED", 403, _S,
    "The direction for this transfer has expired or has been used up.",
    "Have the direction renewed.",
)  # fmt: skip
DIR_REVOKED = _reason(
    "DIR_REVOKED", 403, _S,
    "The direction for this transfer was revoked.",
    "Nothing, unless the school gives a new direction.",
)  # fmt: skip

# --- whose record it is ----------------------------------------------------------------------------
OWN_NOT_ASSOCIATED = _reason(
    "OWN_NOT_ASSOCIATED", 404, _N,
    "There is no such record for this school.",
    "Check the identifier; records of other schools, personal and erased records answer the same.",
)  # fmt: skip

# --- the agreement ---------------------------------------------------------------------------------
AGR_NONE = _reason(
    "AGR_NONE", 403, _S,
    "There is no agreement with this recipient.",
    "The district records the signed agreement before data can flow.",
)  # fmt: skip
AGR_NOT_EFFECTIVE = _reason(
    "AGR_NOT_EFFECTIVE", 403, _S,
    "The agreement with this recipient is not in force yet.",
    "Wait for its effective date, or have the agreement activated.",
)  # fmt: skip
AGR_EXPIRED = _reason(
    "AGR_EXPIRED", 403, _S,
    "The agreement with this recipient has expired.",
    "Renew the agreement; nothing flows until the new version is on file.",
)  # fmt: skip
AGR_REVOKED = _reason(
    "AGR_REVOKED", 403, _S,
    "The agreement with this recipient was ended.",
    "A new agreement is needed.",
)  # fmt: skip
AGR_SCHOOL_NOT_COVERED = _reason(
    "AGR_SCHOOL_NOT_COVERED", 403, _S,
    "The agreement does not cover this school.",
    "Add the school to the agreement, with the consent of its parties.",
)  # fmt: skip
AGR_OPERATION = _reason(
    "AGR_OPERATION", 403, _S,
    "The agreement does not permit this operation.",
    "Amend the agreement's list of operations.",
)  # fmt: skip
AGR_COMMITMENTS_INCOMPLETE = _reason(
    "AGR_COMMITMENTS_INCOMPLETE", 409, _V,
    "The agreement lacks a commitment, a retention term or a field it must have to be activated.",
    "Complete the agreement; the detail names what is missing.",
)  # fmt: skip

AGR_UNSIGNED = _reason(
    "AGR_UNSIGNED", 409, _S,
    "The agreement names no signed document, so nothing shows what was agreed.",
    "Give the signed document, or its SHA-256; it is written into the record of every transfer.",
)  # fmt: skip
AGR_DEBARRED = _reason(
    "AGR_DEBARRED", 403, _N,
    "This recipient passed on what it was given, and may have nothing until its debarment ends.",
    "There is none before that day (34 CFR 99.33(e)).",
)  # fmt: skip
AGR_ASSURANCE_STALE = _reason(
    "AGR_ASSURANCE_STALE", 403, _V,
    "The recipient's written assurance about its security is missing or older than a year.",
    "The recipient gives a new one; the district records its date with a new version of the agreement.",
)  # fmt: skip
AGR_ENDPOINT_MISMATCH = _reason(
    "AGR_ENDPOINT_MISMATCH", 403, _V,
    "The address this would go to is none the agreement names.",
    "Send to an address of the agreement, or have the agreement amended.",
)  # fmt: skip

# --- the purpose -----------------------------------------------------------------------------------
PUR_MISSING = _reason(
    "PUR_MISSING", 400, _C,
    "The request names no purpose.",
    "Name one of the purposes of the agreement.",
)  # fmt: skip
PUR_NOT_PERMITTED = _reason(
    "PUR_NOT_PERMITTED", 403, _C,
    "The purpose is not one the agreement permits.",
    "Name a purpose of the agreement, or amend the agreement.",
)  # fmt: skip
PUR_COMMERCIAL = _reason(
    "PUR_COMMERCIAL", 403, _N,
    "Data about pupils never leave for advertising, marketing or sale.",
    "There is none: no consent and no agreement can permit it.",
)  # fmt: skip
PUR_PROFILE = _reason(
    "PUR_PROFILE", 403, _N,
    "Data about pupils never leave to build profiles beyond school purposes.",
    "There is none: no consent and no agreement can permit it.",
)  # fmt: skip

# --- the data elements -----------------------------------------------------------------------------
ELM_NOT_IN_SCHEDULE = _reason(
    "ELM_NOT_IN_SCHEDULE", 403, _S,
    "The element is not in the agreement's schedule of data.",
    "Ask without it, or have the schedule amended.",
)  # fmt: skip
ELM_NEVER_EXPORT = _reason(
    "ELM_NEVER_EXPORT", 403, _N,
    "This element never leaves: passwords, national ids and private notes have no way out.",
    "There is none.",
)  # fmt: skip
ELM_TECHNICAL = _reason(
    "ELM_TECHNICAL", 403, _N,
    "Technical and usage data never leave.",
    "There is none.",
)  # fmt: skip
ELM_UNCLASSIFIED = _reason(
    "ELM_UNCLASSIFIED", 500, _O,
    "A field is not in the register of data elements, so nothing was sent.",
    "Give the field its element in mappings/fields, and the element a place in mappings/elements.py.",
)  # fmt: skip
ELM_REQUIRED_WITHHELD = _reason(
    "ELM_REQUIRED_WITHHELD", 403, _S,
    "The protocol requires an element that the agreement does not include.",
    "Add the element to the schedule of data, or use an operation that does not need it.",
)  # fmt: skip

# --- the pupil: consent, age, lifecycle ------------------------------------------------------------
CON_REFUSED = _reason(
    "CON_REFUSED", 404, _F,
    "Disclosure of this pupil's data to this recipient was refused.",
    "Only the family or the eligible pupil can change the refusal, through the school.",
)  # fmt: skip
CON_WITHDRAWN = _reason(
    "CON_WITHDRAWN", 404, _F,
    "Consent to disclose this pupil's data to this recipient was withdrawn.",
    "Only the family or the eligible pupil can give it again, through the school.",
)  # fmt: skip
CON_REQUIRED = _reason(
    "CON_REQUIRED", 404, _F,
    "Nobody entitled has agreed to disclosure of this pupil's data to this recipient.",
    "The school asks the family, or the pupil of age, and records the answer.",
)  # fmt: skip
CON_PENDING = _reason(
    "CON_PENDING", 404, _F,
    "The family was asked and has not answered yet.",
    "Wait for the answer; none is not a yes.",
)  # fmt: skip
CON_EXPIRED = _reason(
    "CON_EXPIRED", 404, _F,
    "The consent to disclose this pupil's data to this recipient has run out.",
    "The school asks again.",
)  # fmt: skip
CON_THIRD_PARTY_NOT_SEPARATE = _reason(
    "CON_THIRD_PARTY_NOT_SEPARATE", 404, _F,
    "The family agreed to use here, not to disclosure to others.",
    "Disclosure needs an answer of its own (16 CFR 312.5(a)(2)).",
)  # fmt: skip
CON_EVIDENCE_MISSING = _reason(
    "CON_EVIDENCE_MISSING", 404, _S,
    "The consent on file does not say who gave it, how they were known and what they were shown.",
    "The school records the evidence with a new version of the consent.",
)  # fmt: skip
CON_GRANTOR_NOT_ENTITLED = _reason(
    "CON_GRANTOR_NOT_ENTITLED", 404, _F,
    "Whoever agreed may not answer for this pupil.",
    "Ask a parent, or the school where it acts as the family's agent.",
)  # fmt: skip
CON_OPT_OUT = _reason(
    "CON_OPT_OUT", 404, _F,
    "The pupil or the family opted out of this kind of recipient.",
    "Only they can take it back, through the school.",
)  # fmt: skip
AGE_RIGHTS_TRANSFERRED = _reason(
    "AGE_RIGHTS_TRANSFERRED", 404, _F,
    "The pupil is of age: a parent's consent does not count any more.",
    "Ask the pupil (34 CFR 99.5).",
)  # fmt: skip
AGE_CHILD_NO_SCHOOL_AGREEMENT = _reason(
    "AGE_CHILD_NO_SCHOOL_AGREEMENT", 404, _S,
    "The pupil is a child (or the birth date is unknown) and the agreement does not let the school "
    "act as the family's agent.",
    "Record an agreement that says so, or the family's own consent.",
)  # fmt: skip
RET_RESTRICTED = _reason(
    "RET_RESTRICTED", 404, _F,
    "The family refused further use of this pupil's data.",
    "Only the family or the eligible pupil can lift the refusal, through the school.",
)  # fmt: skip
RET_RECORD_KEPT = _reason(
    "RET_RECORD_KEPT", 409, _S,
    "The school still keeps this pupil's record, so the record of disclosures is kept with it (34 CFR 99.32(a)(2)).",
    "Nothing has to be done: it is erased two weeks after the school's roster no longer has the pupil.",
)  # fmt: skip
RET_ERASED = _reason(
    "RET_ERASED", 404, _N,
    "This pupil's data were erased.",
    "There is none.",
)  # fmt: skip

# --- the policy's version --------------------------------------------------------------------------
POL_NOTICE_PENDING = _reason(
    "POL_NOTICE_PENDING", 403, _O,
    "The privacy policy has changed and this school was not told yet.",
    "The operator sends the notice and records it.",
)  # fmt: skip
POL_RECONSENT_REQUIRED = _reason(
    "POL_RECONSENT_REQUIRED", 403, _S,
    "The privacy policy has changed and this school has not agreed to it.",
    "The school accepts the version, or the operator goes back to the one before.",
)  # fmt: skip
POL_LESS_RESTRICTIVE_OLD_DATA = _reason(
    "POL_LESS_RESTRICTIVE_OLD_DATA", 404, _S,
    "This was delivered under an earlier privacy policy, which does not permit this purpose.",
    "The school agrees to the later version for what it delivered before.",
)  # fmt: skip

# --- the recipient ---------------------------------------------------------------------------------
RCP_CATEGORY = _reason(
    "RCP_CATEGORY", 403, _S,
    "This kind of recipient may not receive this.",
    "Direct the transfer to a recipient of a permitted category.",
)  # fmt: skip
RCP_NOT_ADDRESSEE = _reason(
    "RCP_NOT_ADDRESSEE", 404, _N,
    "There is no such document for this recipient.",
    "Check the identifier; documents addressed to others answer the same.",
)  # fmt: skip

# --- ourselves -------------------------------------------------------------------------------------
INT_POLICY_ERROR = _reason(
    "INT_POLICY_ERROR", 500, _O,
    "The decision could not be made, so nothing was sent.",
    "Tell the operator the request id; an error always denies.",
)  # fmt: skip
INT_OBLIGATION_UNSUPPORTED = _reason(
    "INT_OBLIGATION_UNSUPPORTED", 500, _O,
    "The answer comes with a duty that this way of sending does not perform, so nothing was sent.",
    "Tell the operator the request id; another way of sending the same may perform it.",
)  # fmt: skip
INT_UNEXPECTED = _reason(
    "INT_UNEXPECTED", 500, _O,
    "Something went wrong here.",
    "Tell the operator the request id.",
)  # fmt: skip
INT_UNAVAILABLE = _reason(
    "INT_UNAVAILABLE", 503, _O,
    "The database cannot be reached, so nothing was read or sent.",
    "Try again later.",
)  # fmt: skip
INT_SETTINGS = _reason(
    "INT_SETTINGS", 503, _O,
    "This installation cannot run as it is set up.",
    "Correct what the message names; docs/reference/settings.md lists every setting.",
)  # fmt: skip
INT_NO_INSTALLATION = _reason(
    "INT_NO_INSTALLATION", 503, _O,
    "There is no installation here.",
    "Name the folder of yours with SCHOOLGATE_INSTANCE, or make one with `schoolgate district add`.",
)  # fmt: skip
INT_PORT = _reason(
    "INT_PORT", 503, _O,
    "The gateway cannot listen on this port.",
    "Stop what listens there, or choose another port with --port.",
)  # fmt: skip
RATE_LIMITED = _reason(
    "RATE_LIMITED", 429, _C,
    "Too many requests.",
    "Wait for the time in Retry-After.",
)  # fmt: skip
REQ_INVALID = _reason(
    "REQ_INVALID", 422, _C,
    "A value that was sent or typed is missing or does not fit.",
    "Correct what the message or its list of errors names.",
)  # fmt: skip
REQ_NOT_FOUND = _reason(
    "REQ_NOT_FOUND", 404, _C,
    "There is nothing at this address.",
    "Check the path.",
)  # fmt: skip
REQ_METHOD = _reason(
    "REQ_METHOD", 405, _C,
    "This address does not answer that method.",
    "Use a method named in Allow.",
    imsx="invaliddata",
)  # fmt: skip
REQ_TOO_LARGE = _reason(
    "REQ_TOO_LARGE", 413, _C,
    "The request is too large.",
    "Send less at a time.",
)  # fmt: skip
REQ_PARAMETER = _reason(
    "REQ_PARAMETER", 400, _C,
    "A query parameter is unknown, repeated or out of range.",
    "Use limit, offset and fields as the documentation of the operation says.",
)  # fmt: skip
REQ_FIELD_UNKNOWN = _reason(
    "REQ_FIELD_UNKNOWN", 400, _C,
    "A selected field does not exist for you.",
    "Select fields that the operation offers and your agreement includes.",
    imsx="invalid_selection_field",
)  # fmt: skip
REQ_FILTER_WAITING = _reason(
    "REQ_FILTER_WAITING", 400, _C,
    "Filtering and sorting are not offered by this installation yet.",
    "Read the pages and filter on your side.",
    imsx="invalid_filter_field",
)  # fmt: skip
REQ_IDEMPOTENCY_KEY = _reason(
    "REQ_IDEMPOTENCY_KEY", 400, _C,
    "The request needs an Idempotency-Key header.",
    "Send a fresh random key with each new request, and the same key when you repeat one.",
)  # fmt: skip
REQ_IDEMPOTENCY_MISMATCH = _reason(
    "REQ_IDEMPOTENCY_MISMATCH", 409, _C,
    "The Idempotency-Key was used with another body.",
    "Use a fresh key for a new request.",
)  # fmt: skip
REQ_CURSOR = _reason(
    "REQ_CURSOR", 400, _C,
    "The page cursor is not one of ours or belongs to another grant.",
    "Start again from the first page.",
)  # fmt: skip
REQ_CONFLICT = _reason(
    "REQ_CONFLICT", 409, _C,
    "Something of that name or identifier exists already.",
    "List what exists, then use it or choose another name.",
)  # fmt: skip
REQ_CONTRADICTORY = _reason(
    "REQ_CONTRADICTORY", 422, _C,
    "What is said contradicts itself, or another line.",
    "Mend the line that the detail names.",
)  # fmt: skip
REQ_OVERLAP = _reason(
    "REQ_OVERLAP", 409, _C,
    "Another agreement with this vendor covers the same at the same time.",
    "End the other one, or let one begin where the other ends.",
)  # fmt: skip
REQ_TWICE = _reason(
    "REQ_TWICE", 409, _C,
    "The same number stands for two things.",
    "Give each paper its own number; the same number is the same paper.",
)  # fmt: skip
REQ_UNKNOWN = _reason(
    "REQ_UNKNOWN", 404, _C,
    "There is nothing of that name here.",
    "Look it up with the list command of its kind, such as `schoolgate school list`; names are exact.",
)  # fmt: skip
REQ_AMBIGUOUS = _reason(
    "REQ_AMBIGUOUS", 409, _C,
    "Several things here have that name.",
    "Use one of the references that the message names.",
)  # fmt: skip

# --- LTI: login initiation (LI-1..9) ---------------------------------------------------------------
LTI_LOGIN_ISS = _reason(
    "LTI_LOGIN_ISS", 400, _L,
    "The login carries no issuer (iss), or it is too long.",
    "Launch from the LMS; check the tool's login initiation URL there.",
)  # fmt: skip
LTI_LOGIN_HINT = _reason(
    "LTI_LOGIN_HINT", 400, _L,
    "The login carries no login_hint, or it is too long.",
    "Launch from the LMS; check the tool's login initiation URL there.",
)  # fmt: skip
LTI_LOGIN_TARGET = _reason(
    "LTI_LOGIN_TARGET", 400, _L,
    "The login carries no target_link_uri, or it is too long.",
    "Set the tool's target link URI in the LMS.",
)  # fmt: skip
LTI_LOGIN_PARAMETER = _reason(
    "LTI_LOGIN_PARAMETER", 400, _L,
    "A login parameter is repeated or too long.",
    "Launch again from the LMS.",
)  # fmt: skip
LTI_ISSUER_UNKNOWN = _reason(
    "LTI_ISSUER_UNKNOWN", 403, _S,
    "This LMS is not registered here.",
    "Register it with `schoolgate lms add`, using exactly the issuer and client id the LMS shows.",
)  # fmt: skip
LTI_REGISTRATION_AMBIGUOUS = _reason(
    "LTI_REGISTRATION_AMBIGUOUS", 400, _L,
    "Several registrations share this issuer and the login does not say which client it is.",
    "Let the LMS send client_id in the login; every current LMS can.",
)  # fmt: skip
LTI_REGISTRATION_DISABLED = _reason(
    "LTI_REGISTRATION_DISABLED", 403, _S,
    "This LMS is switched off here, or waits to be approved.",
    "A district administrator switches it on (`schoolgate lms on`) or approves it (`schoolgate lms pending`).",
)  # fmt: skip
LTI_TARGET_NOT_ALLOWED = _reason(
    "LTI_TARGET_NOT_ALLOWED", 400, _L,
    "The target link is not an address of this gateway.",
    "Set the tool's target link URI in the LMS to the one shown by `schoolgate lms add`.",
)  # fmt: skip
LTI_STORAGE_TARGET = _reason(
    "LTI_STORAGE_TARGET", 400, _L,
    "The storage target of the login is not a frame name.",
    "Launch from the LMS itself.",
)  # fmt: skip

# --- LTI: the launch (LV-01..36) -------------------------------------------------------------------
LTI_FORM = _reason(
    "LTI_FORM", 400, _L,
    "The launch must be one form with exactly one id_token and one state.",
    "Launch again from the LMS.",
)  # fmt: skip
LTI_PLATFORM_ERROR = _reason(
    "LTI_PLATFORM_ERROR", 403, _L,
    "The LMS answered the login with an error.",
    "Sign in to the LMS and launch again; if it stays, the LMS log has the reason.",
)  # fmt: skip
LTI_STATE = _reason(
    "LTI_STATE", 403, _C,
    "This launch was not begun here, or too long ago.",
    "Go back to the course and open the activity again.",
)  # fmt: skip
LTI_BROWSER = _reason(
    "LTI_BROWSER", 403, _C,
    "The launch ends in another browser than the one it began in, or the browser blocks the cookie.",
    "Open the activity in a new window, and allow cookies for this address.",
)  # fmt: skip
LTI_REPLAYED = _reason(
    "LTI_REPLAYED", 403, _C,
    "This launch was used already.",
    "Go back to the course and open the activity again.",
)  # fmt: skip
LTI_TOKEN = _reason(
    "LTI_TOKEN", 400, _L,
    "The id_token is not a well-formed signed JWT.",
    "Check the tool configuration in the LMS; tokens are RS256 in compact form.",
)  # fmt: skip
LTI_ALG = _reason(
    "LTI_ALG", 403, _L,
    "The id_token is not signed with RS256, or its header asks for something special.",
    "Let the LMS sign with RS256.",
)  # fmt: skip
LTI_KID = _reason(
    "LTI_KID", 403, _L,
    "The id_token names no key (kid).",
    "Let the LMS name its signing key.",
)  # fmt: skip
LTI_KEY_UNKNOWN = _reason(
    "LTI_KEY_UNKNOWN", 403, _L,
    "The signing key is not in the LMS's key set.",
    "Check the key set URL of the registration; a key withdrawn by the LMS stays refused.",
)  # fmt: skip
LTI_KEY_WEAK = _reason(
    "LTI_KEY_WEAK", 403, _L,
    "The signing key is not an RSA signing key of at least 2048 bits, or its kid stands twice.",
    "Let the LMS publish a proper key.",
)  # fmt: skip
LTI_KEYS_UNREACHABLE = _reason(
    "LTI_KEYS_UNREACHABLE", 503, _L,
    "The LMS's key set cannot be read.",
    "Check that the key set URL is public and answers JSON, then launch again.",
)  # fmt: skip
LTI_SIGNATURE = _reason(
    "LTI_SIGNATURE", 403, _L,
    "The signature of the id_token does not verify.",
    "Check the key set URL of the registration.",
)  # fmt: skip
LTI_ISS = _reason(
    "LTI_ISS", 403, _L,
    "The issuer of the id_token is not the one the login named.",
    "Check the issuer in the registration, to the letter.",
)  # fmt: skip
LTI_AUD = _reason(
    "LTI_AUD", 403, _L,
    "The id_token is not meant for the client of the login.",
    "Check the client id in the registration.",
)  # fmt: skip
LTI_CLIENT = _reason(
    "LTI_CLIENT", 403, _L,
    "The id_token is meant for another client of this issuer than the one of the login.",
    "Check which client id the placement in the LMS uses; login and launch must name the same one.",
)  # fmt: skip
LTI_AUD_UNTRUSTED = _reason(
    "LTI_AUD_UNTRUSTED", 403, _L,
    "The id_token is meant for somebody else besides.",
    "Let the LMS name this client alone; another audience can be trusted by name with `schoolgate lms relax`.",
)  # fmt: skip
LTI_AZP_MISSING = _reason(
    "LTI_AZP_MISSING", 403, _L,
    "The id_token names several audiences and no authorized party (azp).",
    "Let the LMS name the authorized party.",
)  # fmt: skip
LTI_AZP = _reason(
    "LTI_AZP", 403, _L,
    "The authorized party (azp) of the id_token is another client.",
    "Check the client id in the registration.",
)  # fmt: skip
LTI_EXP = _reason(
    "LTI_EXP", 403, _L,
    "The id_token has no proper expiry, or it has expired.",
    "Launch again; if it stays, compare the clocks of the LMS and of this gateway.",
)  # fmt: skip
LTI_IAT = _reason(
    "LTI_IAT", 403, _L,
    "The id_token has no proper issue time, or it is too old or in the future.",
    "Compare the clocks of the LMS and of this gateway.",
)  # fmt: skip
LTI_NBF = _reason(
    "LTI_NBF", 403, _L,
    "The id_token is not valid yet.",
    "Compare the clocks of the LMS and of this gateway.",
)  # fmt: skip
LTI_LIFETIME = _reason(
    "LTI_LIFETIME", 403, _L,
    "The id_token is valid for more than a day.",
    "Let the LMS issue short-lived launch tokens.",
)  # fmt: skip
LTI_NONCE = _reason(
    "LTI_NONCE", 403, _L,
    "The nonce of the id_token is not the one of this login.",
    "Go back to the course and open the activity again.",
)  # fmt: skip
LTI_VERSION = _reason(
    "LTI_VERSION", 403, _L,
    "The message is not LTI version 1.3.0.",
    "Register the tool as LTI 1.3 in the LMS.",
)  # fmt: skip
LTI_MESSAGE_TYPE = _reason(
    "LTI_MESSAGE_TYPE", 403, _L,
    "This kind of LTI message is not served at this address.",
    "Use a placement that sends LtiResourceLinkRequest.",
)  # fmt: skip
LTI_DEPLOYMENT = _reason(
    "LTI_DEPLOYMENT", 403, _S,
    "The deployment is missing, not registered, or not the one of the login.",
    "The district finds it with `schoolgate lms waiting` and grants it schools with `schoolgate lms add`.",
)  # fmt: skip
LTI_TARGET_LINK_URI = _reason(
    "LTI_TARGET_LINK_URI", 403, _L,
    "The target link of the message is not the one of the login.",
    "Go back to the course and open the activity again.",
)  # fmt: skip
LTI_ROLES = _reason(
    "LTI_ROLES", 403, _L,
    "The message's roles are missing or not a list of strings.",
    "Let the LMS send the roles claim, which may be empty.",
)  # fmt: skip
LTI_RESOURCE_LINK = _reason(
    "LTI_RESOURCE_LINK", 403, _L,
    "The message names no resource link.",
    "Use a placement inside a course.",
)  # fmt: skip
LTI_SUB = _reason(
    "LTI_SUB", 403, _L,
    "The message's subject is missing or malformed.",
    "Let the LMS send the user's id (sub).",
)  # fmt: skip
LTI_CONTEXT = _reason(
    "LTI_CONTEXT", 403, _L,
    "The message names no course, or not as it should.",
    "Use a placement inside a course.",
)  # fmt: skip
LTI_CLAIM = _reason(
    "LTI_CLAIM", 403, _L,
    "A claim of the message is malformed.",
    "Correct the claim that is named with it in the LMS.",
)  # fmt: skip
LTI_DEEP_LINKING = _reason(
    "LTI_DEEP_LINKING", 403, _L,
    "The deep linking settings of the message are missing or malformed.",
    "Let the LMS send a return address, the types it accepts and the ways of presentation.",
)  # fmt: skip
LTI_RETURN_URL = _reason(
    "LTI_RETURN_URL", 403, _S,
    "The return address of the picker is not on a host of this registration.",
    "Add the host to the registration if it belongs to this LMS.",
)  # fmt: skip
LTI_FOR_USER = _reason(
    "LTI_FOR_USER", 403, _L,
    "The message does not say whom it is about, or names no line item.",
    "Let the LMS send for_user with a user id, and the line item of a submission review.",
)  # fmt: skip
LTI_FOR_USER_UNKNOWN = _reason(
    "LTI_FOR_USER_UNKNOWN", 403, _S,
    "The pupil under review cannot be shown here.",
    "Check that the pupil is in the class in the school's roster and has opened the activity from the LMS.",
)  # fmt: skip
LTI_LINE_ITEM = _reason(
    "LTI_LINE_ITEM", 403, _S,
    "The line item under review is not one of this course.",
    "Open the review from the gradebook of the course in which the activity was given.",
)  # fmt: skip
LTI_SERVICE_URL = _reason(
    "LTI_SERVICE_URL", 403, _S,
    "A service address in the message is not on a host of this registration.",
    "Add the host to the registration if it belongs to this LMS.",
)  # fmt: skip
LTI_CONTEXT_UNLINKED = _reason(
    "LTI_CONTEXT_UNLINKED", 403, _S,
    "This course is not linked to a class of the roster yet.",
    "Its teacher is asked which class it is; or the district finds it with `schoolgate lms waiting` and links it.",
)  # fmt: skip
LTI_CONTEXT_LINKED = _reason(
    "LTI_CONTEXT_LINKED", 409, _S,
    "This course is linked already, or may not be linked to that school.",
    "Open the activity again from the course; a school administrator can move the link with `schoolgate lms link`.",
)  # fmt: skip
LTI_ITEM_CHANGED = _reason(
    "LTI_ITEM_CHANGED", 409, _C,
    "What the application proposed has changed since this page was shown.",
    "Look at the page again, and add what it shows now.",
)  # fmt: skip
LTI_ITEM_NOT_ACCEPTED = _reason(
    "LTI_ITEM_NOT_ACCEPTED", 422, _C,
    "The LMS said that it would not take what was picked.",
    "The detail says why; pick something else, or another place in the LMS.",
)  # fmt: skip
LTI_PERSON = _reason(
    "LTI_PERSON", 403, _S,
    "The school's roster does not let you into this activity.",
    "Ask the school office whether you are in its roster; the LMS must send SIS ids (lis.person_sourcedid).",
)  # fmt: skip
LTI_CODE = _reason(
    "LTI_CODE", 404, _C,
    "The launch code is unknown, used or older than a minute.",
    "Exchange the code once, right after the redirect; otherwise let the person launch again.",
)  # fmt: skip
LTI_NOTICE = _reason(
    "LTI_NOTICE", 400, _L,
    "This is no notice that is known here.",
    "Send a list of one to a hundred signed notices, each with its id, time and type (Platform Notification Service).",
)  # fmt: skip
LTI_NOTICE_SERVICE = _reason(
    "LTI_NOTICE_SERVICE", 502, _L,
    "The LMS has not taken our word for where to send its notices.",
    "Grant the tool the scope noticehandlers, open an activity from a linked course, and ask again.",
)  # fmt: skip

# --- an LMS registers itself -------------------------------------------------------------------------
_AGAIN = "then open the same registration address in the LMS again: it works until a registration was made."
LTI_REG_INVITE = _reason(
    "LTI_REG_INVITE", 404, _S,
    "This registration address is unknown, has been used, or is older than a week.",
    "Ask the district for a new one: `schoolgate lms invite`.",
)  # fmt: skip
LTI_REG_BUSY = _reason(
    "LTI_REG_BUSY", 409, _L,
    "A registration at this address is under way.",
    "Wait a minute and look there; a registration address registers one LMS.",
)  # fmt: skip
LTI_REG_REQUEST = _reason(
    "LTI_REG_REQUEST", 400, _L,
    "The LMS did not say where its configuration is, or a parameter is repeated, too long or not of its form.",
    f"Begin at the page of the LMS that registers tools; {_AGAIN}",
)  # fmt: skip
LTI_REG_ADDRESS = _reason(
    "LTI_REG_ADDRESS", 403, _L,
    "An address of the LMS is none that this gateway may call: it is not public, not https, or leads elsewhere.",
    f"Serve the LMS at a public https address without redirects; {_AGAIN}",
)  # fmt: skip
LTI_REG_UNREACHABLE = _reason(
    "LTI_REG_UNREACHABLE", 503, _L,
    "The LMS could not be reached, or did not answer in time.",
    f"Look whether it answers from outside, and whether a half-made registration is to be deleted there; {_AGAIN}",
)  # fmt: skip
LTI_REG_CONFIGURATION = _reason(
    "LTI_REG_CONFIGURATION", 422, _L,
    "The configuration of the LMS is not what LTI Dynamic Registration says it is.",
    f"Mend the members that the detail names, or register by hand with `schoolgate lms add`; else {_AGAIN}",
)  # fmt: skip
LTI_REG_ISSUER = _reason(
    "LTI_REG_ISSUER", 403, _S,
    "The issuer is not on the host of the LMS's configuration, and the invitation does not name its host.",
    "If that host is the issuer of this LMS, invite it again with `schoolgate lms invite --host`.",
)  # fmt: skip
LTI_REG_ENDPOINT = _reason(
    "LTI_REG_ENDPOINT", 403, _S,
    "The configuration of the LMS points to another host, and the invitation does not name that one.",
    "If that host is this LMS's too, invite it again with `schoolgate lms invite --host`.",
)  # fmt: skip
LTI_REG_UNSUPPORTED = _reason(
    "LTI_REG_UNSUPPORTED", 422, _L,
    "The LMS does not offer what this gateway cannot do without.",
    f"Switch on in the LMS what the detail names; {_AGAIN}",
)  # fmt: skip
LTI_REG_ANSWER = _reason(
    "LTI_REG_ANSWER", 422, _L,
    "The LMS did not register this gateway, or answered what cannot be used.",
    f"Look at the LMS's own log, and delete a half-made registration there; {_AGAIN}",
)  # fmt: skip

# --- rosters as files ------------------------------------------------------------------------------
CSV_NOT_A_ZIP = _reason(
    "CSV_NOT_A_ZIP", 422, _R,
    "The delivery is not a zip file, or it is cut off.",
    "Export again and send the whole file.",
)  # fmt: skip
CSV_ZIP_DAMAGED = _reason(
    "CSV_ZIP_DAMAGED", 422, _R,
    "A file inside the zip is damaged: its checksum or length is wrong.",
    "Export again and send the whole file.",
)  # fmt: skip
CSV_ZIP_UNSUPPORTED = _reason(
    "CSV_ZIP_UNSUPPORTED", 422, _R,
    "A file inside the zip is encrypted or packed with an unusual method.",
    "Pack without a password, with deflate or store.",
)  # fmt: skip
CSV_ZIP_BOMB = _reason(
    "CSV_ZIP_BOMB", 422, _R,
    "The zip unpacks to far more than a roster can be.",
    "Send only the OneRoster files; a larger district raises the limit in the settings.",
)  # fmt: skip
CSV_PATH_UNSAFE = _reason(
    "CSV_PATH_UNSAFE", 422, _R,
    "A name inside the delivery is a path, a link or not a OneRoster file name.",
    "Put the CSV files at the root of the zip, under their OneRoster names.",
)  # fmt: skip
CSV_FILE_TWICE = _reason(
    "CSV_FILE_TWICE", 422, _R,
    "Two files of the delivery have the same name.",
    "Send each file once.",
)  # fmt: skip
CSV_FILE_UNKNOWN = _reason(
    "CSV_FILE_UNKNOWN", 422, _R,
    "The delivery holds a file that is not part of OneRoster.",
    "Remove it, or correct its name; names are case-sensitive.",
)  # fmt: skip
CSV_MANIFEST_MISSING = _reason(
    "CSV_MANIFEST_MISSING", 422, _R,
    "The delivery has no manifest.csv.",
    "Add the manifest; it says the version and what each file is. OneRoster 1.0 has none: a source that delivers 1.0 "
    "needs the repair csv-1.0.",
)  # fmt: skip
CSV_MANIFEST_INVALID = _reason(
    "CSV_MANIFEST_INVALID", 422, _R,
    "The manifest is not readable or lacks a property.",
    "The detail names the line; correct it.",
)  # fmt: skip
CSV_VERSION = _reason(
    "CSV_VERSION", 422, _R,
    "The manifest does not say OneRoster 1.1 or 1.2.",
    "Export as OneRoster 1.1 or 1.2. A delivery of 1.0 has no manifest, and its source the repair csv-1.0.",
)  # fmt: skip
CSV_MANIFEST_CONTRADICTED = _reason(
    "CSV_MANIFEST_CONTRADICTED", 422, _R,
    "The manifest says something else than the files that are there.",
    "Make the manifest agree with the delivery. A source that delivers 1.0 no more does not need the repair csv-1.0.",
)  # fmt: skip
CSV_MODE_CONTRADICTED = _reason(
    "CSV_MODE_CONTRADICTED", 422, _R,
    "A file is said to be bulk or delta, and its rows say the other; the rows count, and in 1.0 the file is refused.",
    "Correct the manifest. A source that writes a status into bulk files needs the repair bulk-status.",
)  # fmt: skip
CSV_FILE_MISSING = _reason(
    "CSV_FILE_MISSING", 422, _R,
    "A required file is missing.",
    "Export the whole roster: academicSessions, classes, courses, enrollments, orgs, users, and "
    "roles in 1.2.",
)  # fmt: skip
CSV_FILE_EMPTY = _reason(
    "CSV_FILE_EMPTY", 422, _R,
    "A required file has no rows, so nothing of it is believed.",
    "Export again; an empty file is never taken as a removal of everything.",
)  # fmt: skip
CSV_FILE_CUT = _reason(
    "CSV_FILE_CUT", 422, _R,
    "A file ends in the middle of a line.",
    "Export again and send the whole file.",
)  # fmt: skip
CSV_CHANGED = _reason(
    "CSV_CHANGED", 422, _R,
    "The delivery was written to while it was read.",
    "Bring it in when whoever writes it has finished; a watched folder waits for that.",
)  # fmt: skip
CSV_ENCODING = _reason(
    "CSV_ENCODING", 422, _R,
    "The file is not UTF-8.",
    "Export as UTF-8; the detail says what it looks like.",
)  # fmt: skip
CSV_HEADER = _reason(
    "CSV_HEADER", 422, _R,
    "The header of a file lacks a required column or is not a OneRoster header.",
    "The detail names the column; header names are case-sensitive.",
)  # fmt: skip
CSV_HEADER_TWICE = _reason(
    "CSV_HEADER_TWICE", 422, _R,
    "A column stands twice in the header of a file.",
    "Keep one of them.",
)  # fmt: skip
CSV_FAULT_BUDGET = _reason(
    "CSV_FAULT_BUDGET", 422, _R,
    "So many rows of a file are bad that the file cannot be trusted.",
    "Correct the most frequent cause first; the report lists them.",
)  # fmt: skip
CSV_LINE_UNREADABLE = _reason(
    "CSV_LINE_UNREADABLE", 422, _R,
    "The line is not readable CSV: a stray or missing quote.",
    "Double a quote inside a field, and enclose the field in quotes.",
)  # fmt: skip
CSV_LINE_ENCODING = _reason(
    "CSV_LINE_ENCODING", 422, _R,
    "The line holds bytes that are not UTF-8.",
    "Export as UTF-8.",
)  # fmt: skip
CSV_LINE_COLUMNS = _reason(
    "CSV_LINE_COLUMNS", 422, _R,
    "The line has more or fewer columns than the header.",
    "Quote fields that contain commas.",
)  # fmt: skip
CSV_LINE_BREAK = _reason(
    "CSV_LINE_BREAK", 422, _R,
    "The line holds a control character.",
    "Remove it; line breaks inside fields are not part of OneRoster.",
)  # fmt: skip
CSV_VALUE_MISSING = _reason(
    "CSV_VALUE_MISSING", 422, _R,
    "A required value is missing.",
    "Fill the value in the student information system.",
)  # fmt: skip
CSV_VALUE_TYPE = _reason(
    "CSV_VALUE_TYPE", 422, _R,
    "The value is not of the column's type.",
    "Dates are YYYY-MM-DD, booleans true or false, years four digits.",
)  # fmt: skip
CSV_VALUE_VOCABULARY = _reason(
    "CSV_VALUE_VOCABULARY", 422, _R,
    "The value is not in the column's vocabulary.",
    "Use one of the listed words, in this spelling, or an ext: word where they are allowed.",
)  # fmt: skip
CSV_VALUE_LENGTH = _reason(
    "CSV_VALUE_LENGTH", 422, _R,
    "The value is too long.",
    "Shorten it.",
)  # fmt: skip
CSV_ID = _reason(
    "CSV_ID", 422, _R,
    "The sourcedId has characters that are not allowed, or is too long.",
    "Use letters, digits and . - _ / @, fewer than 256 of them.",
)  # fmt: skip
CSV_ID_TWICE = _reason(
    "CSV_ID_TWICE", 422, _R,
    "The sourcedId stands on another row of the file already.",
    "Give each record its own sourcedId.",
)  # fmt: skip
CSV_REFERENCE = _reason(
    "CSV_REFERENCE", 422, _R,
    "The row refers to a record that is not in the delivery.",
    "Export the record it refers to, or remove the row.",
)  # fmt: skip
CSV_REFERENCE_BAD = _reason(
    "CSV_REFERENCE_BAD", 422, _R,
    "The row refers to a record that is itself quarantined.",
    "Mend the record it refers to; this row follows by itself.",
)  # fmt: skip
CSV_ORG_TYPE = _reason(
    "CSV_ORG_TYPE", 422, _R,
    "The row refers to an organisation of the wrong type.",
    "Classes and enrollments belong to an org of type school.",
)  # fmt: skip
CSV_SCHOOL_MISMATCH = _reason(
    "CSV_SCHOOL_MISMATCH", 422, _R,
    "The row names another school than its class; the school of the class counts.",
    "Make the school of the row the school of its class.",
)  # fmt: skip
CSV_STATUS_IN_BULK = _reason(
    "CSV_STATUS_IN_BULK", 422, _R,
    "A bulk row carries a status or a modification date, which bulk files leave empty.",
    "Leave them empty; rows marked tobedeleted are not part of a bulk file. In 1.0, rows that are gone are left out.",
)  # fmt: skip

CSV_DELTA_INCOMPLETE = _reason(
    "CSV_DELTA_INCOMPLETE", 422, _R,
    "A delta row has no status or no modification date.",
    "Write both on every row of a delta: active or tobedeleted, and when the record changed.",
)  # fmt: skip
CSV_DELTA_OUTDATED = _reason(
    "CSV_DELTA_OUTDATED", 422, _R,
    "A delta row is older than what was accepted before; what is newer stays.",
    "Nothing, if deliveries came in another order; else let the export renew the modification date.",
)  # fmt: skip
CSV_DELTA_UNKNOWN = _reason(
    "CSV_DELTA_UNKNOWN", 422, _R,
    "A delta row removes a record that is not here.",
    "Nothing, if it never was delivered; a bulk delivery shows what both sides hold.",
)  # fmt: skip
CSV_DELTA_FUTURE = _reason(
    "CSV_DELTA_FUTURE", 422, _R,
    "The modification date lies ahead of the clock; the row is taken as of now.",
    "Set the clock or the time zone of the student information system.",
)  # fmt: skip
CSV_DATES_REVERSED = _reason(
    "CSV_DATES_REVERSED", 422, _R,
    "The row ends before it begins.",
    "Correct the dates; the end is the first day that is no longer part of it.",
)  # fmt: skip
CSV_DATES_OUTSIDE = _reason(
    "CSV_DATES_OUTSIDE", 422, _R,
    "The enrollment begins or ends outside the terms of its class; it stands as it is.",
    "Correct the dates of the enrollment, or the terms of the class.",
)  # fmt: skip
CSV_SESSION_TYPE = _reason(
    "CSV_SESSION_TYPE", 422, _R,
    "The row refers to a session of the wrong type.",
    "Courses belong to a schoolYear; line items to a term, semester or grading period, in 1.1 to a grading period.",
)  # fmt: skip
CSV_TERM_YEAR = _reason(
    "CSV_TERM_YEAR", 422, _R,
    "The class is held in a term outside the school year of its course; it stands as it is.",
    "Correct the school year of the course, or the terms of the class.",
)  # fmt: skip
CSV_SUBJECT_CODES = _reason(
    "CSV_SUBJECT_CODES", 422, _R,
    "There are more or fewer subject codes than subjects; the codes are left out.",
    "Write one code for each subject, in the same order.",
)  # fmt: skip
CSV_ROLE_PRIMARY_TWICE = _reason(
    "CSV_ROLE_PRIMARY_TWICE", 422, _R,
    "The person has a primary role at the organisation already.",
    "Make one of the roles primary, and the others secondary.",
)  # fmt: skip
CSV_PRIMARY_ORG = _reason(
    "CSV_PRIMARY_ORG", 422, _R,
    "The person has no role at the primary organisation, which is left out.",
    "Export the role there, or name another primary organisation.",
)  # fmt: skip
CSV_PROFILE_USER = _reason(
    "CSV_PROFILE_USER", 422, _R,
    "The role names the account of somebody else, which is left out.",
    "Name an account of the same person.",
)  # fmt: skip
CSV_ROLE_DIFFERS = _reason(
    "CSV_ROLE_DIFFERS", 422, _R,
    "The person is enrolled in a role that no role of theirs has; the enrollment stands as it is.",
    "Correct the enrollment, or export the person's role.",
)  # fmt: skip
CSV_RANGE = _reason(
    "CSV_RANGE", 422, _R,
    "The least points are more than the most points.",
    "Correct the range of the line item.",
)  # fmt: skip
CSV_SCORE_RANGE = _reason(
    "CSV_SCORE_RANGE", 422, _R,
    "The score lies outside the range of its line item.",
    "Correct the score, or the range of the line item.",
)  # fmt: skip
CSV_SCORE_SCALE = _reason(
    "CSV_SCORE_SCALE", 422, _R,
    "The text of the score is no step of its score scale.",
    "Use a step of the scale, or name another scale.",
)  # fmt: skip
CSV_RESULT_CLASS = _reason(
    "CSV_RESULT_CLASS", 422, _R,
    "The result names another class than its line item.",
    "Name the class of the line item, or none.",
)  # fmt: skip
CSV_RESULT_STUDENT = _reason(
    "CSV_RESULT_STUDENT", 422, _R,
    "The pupil of the result is not enrolled in the class of its line item.",
    "Export the enrollment, or remove the result.",
)  # fmt: skip
CSV_OBJECTIVE_ID = _reason(
    "CSV_OBJECTIVE_ID", 422, _R,
    "The identifier of a CASE learning objective is not a UUID URN.",
    "Write it as urn:uuid: and the UUID.",
)  # fmt: skip

# --- sources and runs ------------------------------------------------------------------------------
SRC_HELD = _reason(
    "SRC_HELD", 409, _S,
    "The delivery would change more than the guards allow, so it is held, or what would go is; the last version of "
    "that keeps serving.",
    "Look at it with `schoolgate sync hold show`; a second person can release the hold, or send a corrected delivery.",
)  # fmt: skip
SRC_REKEYED = _reason(
    "SRC_REKEYED", 409, _S,
    "People of the roster come again under new ids, so those under the old ids are held; they are not merged.",
    "Have the source keep its ids. Else a second person releases the hold: refusals and opt-outs are copied to the new "
    "ids; links, consents and grades stay with the old ids.",
)  # fmt: skip
SRC_ROLLOVER = _reason(
    "SRC_ROLLOVER", 409, _S,
    "A school year has gone and another has come, so the delivery is held for the review of a roll-over.",
    "Look at it with `schoolgate sync hold show`; a second person releases it when the new year is as it should be.",
)  # fmt: skip
SRC_HOLD_OVER = _reason(
    "SRC_HOLD_OVER", 409, _S,
    "The hold is over: it was released or discarded, a later delivery has overtaken it, or it has expired.",
    "Plan the newest delivery; what it would change too much is held anew.",
)  # fmt: skip
SRC_HISTORY = _reason(
    "SRC_HISTORY", 422, _C,
    "This is older than what is kept of the roster's history, so it cannot be answered truly.",
    "Ask for a later day, or read the whole roster again.",
)  # fmt: skip
SRC_NOTHING_BEFORE = _reason(
    "SRC_NOTHING_BEFORE", 409, _C,
    "There is no earlier roster to go back to.",
    "Correct it at the source and bring in what it delivers then. Any run that published, as `schoolgate sync history` "
    "lists them, can be gone back to with `--to`, for as long as rosters are kept.",
)  # fmt: skip
SRC_NO_SCHOOL = _reason(
    "SRC_NO_SCHOOL", 409, _S,
    "None of the schools in the delivery is onboarded.",
    "Add the schools with `schoolgate school add`; deliveries never create schools.",
)  # fmt: skip
SRC_AGREEMENT_MISSING = _reason(
    "SRC_AGREEMENT_MISSING", 409, _S,
    "The school has no agreement on file that covers importing its pupils.",
    "Record the agreement with `schoolgate agreement add --operation roster.import`.",
)  # fmt: skip
SRC_BUSY = _reason(
    "SRC_BUSY", 409, _C,
    "Another run of this source is under way.",
    "Wait until it ends.",
)  # fmt: skip
SRC_PAUSED = _reason(
    "SRC_PAUSED", 409, _S,
    "The source is paused: nothing of it is fetched or published.",
    "Wait until the pause is over, or end it with `schoolgate sync resume SOURCE`.",
)  # fmt: skip
SRC_PEAK = _reason(
    "SRC_PEAK", 409, _S,
    "The source is in its peak hours, in which it is left alone.",
    "The run of the night begins by itself when they are over; wait as well, or say --in-peak.",
)  # fmt: skip
SRC_MISSING = _reason(
    "SRC_MISSING", 409, _S,
    "No delivery has come where one was expected.",
    "Look at the export of the information system and at what carries it here; the last version keeps serving.",
)  # fmt: skip
SRC_DRIFT = _reason(
    "SRC_DRIFT", 409, _S,
    "What changed by itself since the last full delivery does not add up to what a full one says.",
    "The full delivery counts; if it happens again, let the source deliver in full every night.",
)  # fmt: skip
SRC_OFFER_CHANGED = _reason(
    "SRC_OFFER_CHANGED", 409, _S,
    "The source offers something else than it did the night before.",
    "`schoolgate source test SOURCE` says what it offers now; ask its administrator whether that is meant.",
)  # fmt: skip
SRC_UPLOAD_BROKEN = _reason(
    "SRC_UPLOAD_BROKEN", 400, _C,
    "What arrived is not what was announced: its length or its digest differs.",
    "Send the file again with its own Content-Length and Content-Digest (sha-256, RFC 9530).",
)  # fmt: skip
SRC_UPLOAD_LOST = _reason(
    "SRC_UPLOAD_LOST", 409, _O,
    "The delivery that was handed in is not in the spool any more.",
    "Hand it in again; where web and worker run on different machines they must share the spool folder.",
)  # fmt: skip
SRC_SPOOL = _reason(
    "SRC_SPOOL", 503, _O,
    "The delivery cannot be written to the spool.",
    "Make room on the disk of the spool folder, or make the folder writable for the gateway.",
)  # fmt: skip
SRC_FOLDER = _reason(
    "SRC_FOLDER", 403, _O,
    "The folder is not one that this gateway may watch.",
    "Name one within the folder that is called as the district's reference, in a root of the setting `watch_roots`, "
    "without links on the way; the operator makes it.",
)  # fmt: skip
SRC_HOST_KEY = _reason(
    "SRC_HOST_KEY", 403, _S,
    "The server's host key is not the one that was recorded, or none was.",
    "Compare the fingerprint with what the server's administrator says; record it with `source add --host-key`.",
)  # fmt: skip
SRC_CUT = _reason(
    "SRC_CUT", 503, _S,
    "The file changed or ended while it was fetched.",
    "Let the export write under another name and rename it when it is whole; the next run fetches it again.",
)  # fmt: skip
SRC_EXTRA = _reason(
    "SRC_EXTRA", 503, _O,
    "What fetches from such a source is not installed.",
    "Install it: `pip install 'schoolgate[sftp]'`.",
)  # fmt: skip
SRC_ADDRESS_REFUSED = _reason(
    "SRC_ADDRESS_REFUSED", 403, _S,
    "The address is not one this gateway may call.",
    "Use a public https address on a host that is registered for this connection.",
)  # fmt: skip
SRC_UNREACHABLE = _reason(
    "SRC_UNREACHABLE", 503, _S,
    "The other side cannot be reached or does not answer in time.",
    "Check that it is up; this gateway tries again where that is safe.",
)  # fmt: skip
SRC_ANSWER = _reason(
    "SRC_ANSWER", 503, _S,
    "The other side answered with an error or with something unreadable.",
    "The detail names the status; the other side's log has the reason.",
)  # fmt: skip
SRC_TOO_LARGE = _reason(
    "SRC_TOO_LARGE", 503, _S,
    "The other side's answer is larger than this gateway accepts.",
    "Raise the limit in the settings if the size is right.",
)  # fmt: skip
SRC_COLLECTION = _reason(
    "SRC_COLLECTION", 503, _R,
    "A collection that the roster needs is missing there or empty, so nothing of this reading is taken.",
    "License or allow it in the source. If it is gone for good, `schoolgate source test` notes what is offered.",
)  # fmt: skip
SRC_PAGES = _reason(
    "SRC_PAGES", 503, _R,
    "The pages of a collection do not make a whole: one is repeated or missing, or they changed while they were read.",
    "Pull again when nobody imports or exports there; if it stays so, tell the maker of the source.",
)  # fmt: skip
SRC_THROTTLED = _reason(
    "SRC_THROTTLED", 503, _R,
    "The source asks us to wait for longer than a pull waits.",
    "Pull again later: it goes on at the page where it stopped, for six hours.",
)  # fmt: skip
SRC_CREDENTIALS = _reason(
    "SRC_CREDENTIALS", 503, _S,
    "The other side does not accept this gateway's credentials.",
    "Renew the credentials of the connection.",
)  # fmt: skip
SRC_CERTIFICATE = _reason(
    "SRC_CERTIFICATE", 503, _L,
    "The other side does not show a valid certificate for its name.",
    "Its administrator installs a certificate of a public authority for that name, with the whole chain.",
)  # fmt: skip
SRC_NOT_OFFERED = _reason(
    "SRC_NOT_OFFERED", 422, _L,
    "The LMS does not offer this service for this course.",
    "Switch it on for this tool in the LMS (names and roles, grades), then launch once from the course.",
)  # fmt: skip

# --- grades ----------------------------------------------------------------------------------------
GRD_LEVEL_UNMAPPED = _reason(
    "GRD_LEVEL_UNMAPPED", 422, _T,
    "The mastery level has no points in the activity's scale.",
    "Add the level to the scale, then send this pupil again.",
)  # fmt: skip
GRD_PUPIL = _reason(
    "GRD_PUPIL", 422, _S,
    "The pupil is not in this class according to the roster, or the school withholds the grade.",
    "The school office can see which; correct the enrollment there, or enter the mark by hand.",
)  # fmt: skip
GRD_NOT_IN_COURSE = _reason(
    "GRD_NOT_IN_COURSE", 422, _L,
    "The pupil is not a member of the LMS course, or the LMS does not say who is who.",
    "Add the pupil to the course and let the LMS send SIS ids, then send again.",
)  # fmt: skip
GRD_NO_COLUMN = _reason(
    "GRD_NO_COLUMN", 422, _S,
    "The class is not linked to an LMS course that takes grades.",
    "Launch once from the course with grade services switched on, and link the course to the class.",
)  # fmt: skip
GRD_COLUMN_COUPLED = _reason(
    "GRD_COLUMN_COUPLED", 409, _T,
    "The column belongs to an activity of the LMS course, so the LMS does not let this gateway delete it.",
    "Delete the activity in the LMS course; its column goes with it.",
)  # fmt: skip
GRD_REFUSED = _reason(
    "GRD_REFUSED", 422, _L,
    "The LMS refused the grade.",
    "Ask the LMS's administrator what its log says about this pupil and column; mend it there, then send again.",
)  # fmt: skip
GRD_CONFLICT = _reason(
    "GRD_CONFLICT", 409, _T,
    "The LMS holds another mark than the one sent.",
    "Decide which one counts; nothing is overwritten without being asked.",
)  # fmt: skip
GRD_UNKNOWN = _reason(
    "GRD_UNKNOWN", 409, _T,
    "It is not known whether the grade arrived: the LMS broke off and does not let us look.",
    "Look into the LMS's gradebook; if the grade is missing, hand it in again.",
)  # fmt: skip
GRD_EXPIRED = _reason(
    "GRD_EXPIRED", 409, _L,
    "The LMS could not be reached for two weeks, so the grade was not sent.",
    "Mend the connection to the LMS, then hand the grade in again.",
)  # fmt: skip

# --- what later flows will answer with ---------------------------------------------------------------
# Nothing answers with these yet; they are named so that nobody uses the code for something else. By flow.
WAITING = {
    "grants wider than their agreement": ("SCP_EXCEEDS_AGREEMENT",),
    "export options by role": ("ACT_EXPORT_NOT_GRANTED",),
    "accounts of pupils and parents": ("ACT_NOT_SUBJECT", "RET_ACCOUNT_CLOSED"),
    "rows without provenance": ("OWN_AMBIGUOUS", "OWN_PERSONAL_SPACE"),
    "places of storage": ("AGR_JURISDICTION",),
    "sub-processors as recipients": ("AGR_SUBPROCESSOR_UNLISTED",),
    "change of control": ("AGR_SUCCESSOR_UNATTESTED",),
    "offers to other districts": ("AGR_OFFER_NOT_ACCEPTED",),
    "offboarding": ("AGR_DISPOSITION_PENDING", "RET_SCHOOL_OFFBOARDED", "RET_EXPIRED", "RET_LEGAL_HOLD"),
    "protected surveys": ("ELM_PROTECTED_PPRA",),
    "public links": ("RCP_PUBLIC",),
    "identity of recipients": ("RCP_NOT_AUTHORIZED", "RCP_IDENTITY_UNPROVEN"),
    "legal process": ("LEG_INSTRUMENT_MISSING", "LEG_APPROVAL_MISSING", "LEG_NOTICE_PENDING"),
    "aggregates": (
        "DEI_SMALL_CELL", "DEI_COMPLEMENTARY", "DEI_K_TOO_LOW", "DEI_SCHOOL_NOT_AUTHORIZED", "DEI_PURPOSE",
        "DEI_QUERY_BUDGET",
    ),
}  # fmt: skip
