"""Launch: a login begins, a message arrives through the gate, the application exchanges a one-time code for it.

`entry` is the door; `hand_over` decides and sends on; `exchange` tells the application; `picker` lets a teacher choose
what to link; `linking` links courses; `diagnosis` helps when it fails.
"""

from gateway.flows.launch.diagnosis import Diagnosis, diagnose, failures, inspect
from gateway.flows.launch.entry import CODE_SECONDS, LAUNCH_HOURS, Door, Entry, arrive, begin
from gateway.flows.launch.exchange import exchange
from gateway.flows.launch.linking import Unlinked, link
from gateway.flows.launch.picker import offer, open_picker, pick
from gateway.flows.launch.privacy import Privacy
from gateway.flows.launch.relaxations import end_relaxation, relax, relaxations
from gateway.flows.launch.waiting import Waiting, waiting

__all__ = [
    "CODE_SECONDS", "LAUNCH_HOURS", "Diagnosis", "Door", "Entry", "Privacy", "Unlinked", "Waiting", "arrive", "begin",
    "diagnose", "end_relaxation", "exchange", "failures", "inspect", "link", "offer", "open_picker", "pick", "relax",
    "relaxations", "waiting",
]  # fmt: skip
