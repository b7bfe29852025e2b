"""What can go wrong on a line out.

    ConnectorError
    ├── AddressRefused      the address may not be called: nothing was connected
    ├── Unreachable         no connection, or no answer in time: nothing or an unknown part was sent
    │   └── Untrusted       its certificate does not show that it is who it should be: nothing was sent
    ├── AnswerLost          the request was sent and the reply did not arrive whole: outcome unknown
    │   └── AnswerCut       what was fetched changed or ended on the way
    ├── AnswerTooLarge      the answer is longer than the cap
    ├── AnswerRefused       the other side answered with an error status
    │   ├── ColumnCoupled   the column belongs to a link of the LMS, which alone may delete it
    │   └── Throttled       it asks us to wait for longer than a pull waits
    ├── AnswerUnreadable    the answer is not what the protocol says
    │   ├── NotOffered      the other side offers no such service to us: nothing was sent
    │   ├── CollectionLost  a collection that a roster needs is not there, or empty
    │   └── PagesBroken     the pages of a collection do not make a whole
    ├── CredentialsRefused  the other side did not accept who we are
    ├── NoRoom              what came cannot be written to the disk here
    ├── PeerUnknown         the server is not the one whose key was recorded: nothing was said to it
    └── NotInstalled        what speaks this protocol is an extra that is not there

Each carries the code of the refusal vocabulary that says it to a person.
"""

# ruff: noqa: N818 - an error is named for what happened on the line, as the tree above reads
from __future__ import annotations


class ConnectorError(Exception):
    """A line out failed. `sent` says whether the other side may have acted on the request."""

    code = "SRC_ANSWER"
    sent = False

    def __init__(self, detail: str = "", *, sent: bool | None = None) -> None:
        super().__init__(detail or (self.__doc__ or "").split("\n", 1)[0])
        if sent is not None:
            self.sent = sent


class AddressRefused(ConnectorError):
    """The address may not be called."""

    code = "SRC_ADDRESS_REFUSED"


class Unreachable(ConnectorError):
    """No connection could be made."""

    code = "SRC_UNREACHABLE"


class Untrusted(Unreachable):
    """The other side does not show a valid certificate for its name."""

    code = "SRC_CERTIFICATE"


class AnswerLost(ConnectorError):
    """The request went out and no whole answer came back."""

    code = "SRC_UNREACHABLE"
    sent = True


class AnswerCut(AnswerLost):
    """What was fetched changed or ended on the way."""

    code = "SRC_CUT"


class AnswerTooLarge(ConnectorError):
    """The answer is longer than the cap."""

    code = "SRC_TOO_LARGE"
    sent = True


class AnswerRefused(ConnectorError):
    """The other side answered with an error status; `status` and `retry_after` (seconds) say which."""

    sent = True

    def __init__(self, status: int, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(detail or f"status {status}")
        self.status = status
        self.retry_after = retry_after


class ColumnCoupled(AnswerRefused):
    """The LMS refuses to delete a column that belongs to one of its links."""

    code = "GRD_COLUMN_COUPLED"


class AnswerUnreadable(ConnectorError):
    """The answer is not what the protocol says."""

    sent = True


class NotOffered(AnswerUnreadable):
    """The LMS does not offer this service to us."""

    code = "SRC_NOT_OFFERED"
    sent = False


class Throttled(AnswerRefused):
    """The source asks us to wait."""

    code = "SRC_THROTTLED"


class CollectionLost(AnswerUnreadable):
    """A collection that a roster needs is not there, or empty."""

    code = "SRC_COLLECTION"


class PagesBroken(AnswerUnreadable):
    """The pages of a collection do not make a whole."""

    code = "SRC_PAGES"


class CredentialsRefused(ConnectorError):
    """The other side did not accept our credentials; `said` is its OAuth error word, where it said a known one."""

    code = "SRC_CREDENTIALS"

    def __init__(self, detail: str = "", *, said: str = "") -> None:
        super().__init__(detail)
        self.said = said


class PeerUnknown(ConnectorError):
    """The server does not show the key that was recorded; `shown` is the fingerprint of the one that it shows."""

    code = "SRC_HOST_KEY"

    def __init__(self, detail: str = "", *, shown: str = "") -> None:
        super().__init__(detail)
        self.shown = shown


class NoRoom(ConnectorError):
    """What came cannot be written to the disk here."""

    code = "SRC_SPOOL"


class NotInstalled(ConnectorError):
    """What speaks this protocol is not installed."""

    code = "SRC_EXTRA"
