"""The people of a district are told what became of their sources: here, at a webhook, by e-mail. Nobody is in it.

Once for each cause, source and day. What is sent waits in a table of its own until it has gone out, and no longer than
a day.
"""

from gateway.flows.notifications.telling import tell

__all__ = ["tell"]
