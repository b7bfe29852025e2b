"""A letter handed to the operator's own mail server. Its address is the operator's to set, so it may be an inner one;
what stands in the letter comes from districts, so nothing of it can become a header or a second recipient."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from connectors.egress import public_tls
from connectors.errors import AnswerRefused, ConnectorError, CredentialsRefused, Unreachable, Untrusted

SECONDS = 20.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter to one mailbox; `ref` makes the same letter recognisable when it is sent twice."""

    to: str
    subject: str
    text: str
    ref: str
    at: datetime

    def written(self, sender: str) -> EmailMessage:
        """Return the message. Raises ConnectorError where a header cannot hold what it should."""
        if any(mark in self.to for mark in ',;<>" \t\r\n'):
            raise ConnectorError("the letter's address is not one mailbox")
        message = EmailMessage()
        try:
            message["From"], message["To"] = sender, self.to
            message["Subject"] = " ".join(self.subject.split())
            message["Date"], message["Message-ID"] = format_datetime(self.at), f"<{self.ref}>"
            message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: no machine answers it
            message.set_content(self.text)
        except (ValueError, IndexError) as error:
            raise ConnectorError("the letter cannot be written") from error
        return message


@dataclass(frozen=True, slots=True)
class Mailer:
    """The operator's mail server: `smtp://` with STARTTLS, or `smtps://`. Only on this machine may it go without."""

    url: str
    sender: str

    def send(self, letter: Letter) -> None:
        """Hand over a letter. Raises ConnectorError."""
        message = letter.written(self.sender)
        try:
            with self._open() as server:
                server.send_message(message, self.sender, [letter.to])
        except smtplib.SMTPAuthenticationError as error:
            raise CredentialsRefused("the mail server does not accept our credentials") from error
        except ssl.SSLError as error:
            raise Untrusted("the mail server shows no valid certificate") from error
        except smtplib.SMTPResponseException as error:
            raise AnswerRefused(error.smtp_code, f"the mail server said {error.smtp_code}") from error
        except smtplib.SMTPException as error:
            raise AnswerRefused(550, f"the mail server refused the letter: {type(error).__name__}") from error
        except OSError as error:
            raise Unreachable(f"the mail server: {type(error).__name__}") from error

    def _open(self) -> smtplib.SMTP:
        address = urlsplit(self.url)
        host = address.hostname or ""
        if address.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, address.port or 465, timeout=SECONDS, context=public_tls())
        else:
            server = smtplib.SMTP(host, address.port or 587, timeout=SECONDS)
        try:
            if address.scheme != "smtps" and host not in _LOOPBACK:
                server.starttls(context=public_tls())
            if address.username:
                server.login(unquote(address.username), unquote(address.password or ""))
        except BaseException:
            server.close()
            raise
        return server
