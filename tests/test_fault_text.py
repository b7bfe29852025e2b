"""The list of what was wrong in a delivery, for those who mend it."""

from __future__ import annotations

from gateway import fault_text
from gateway.errors import VOCABULARY


def test_why_nothing_was_taken_is_said_in_whole_sentences() -> None:
    reason = VOCABULARY["SRC_NO_SCHOOL"]
    for seen in (reason.sentence, reason.sentence.removesuffix(".")):
        why = {"code": reason.code, "file": "", "line": "", "detail": seen, "owner": str(reason.owner)}
        ((*_, fix, owner),) = fault_text.refused({"refusal": why})
        assert (fix, owner) == (f"{reason.sentence} {reason.remedy}", str(reason.owner))
    assert fault_text.refused({}) == fault_text.refused({"refusal": None}) == []
