"""`python -m tests.conformance` writes docs/conformance.md."""

from __future__ import annotations

from tests.conformance.page import PAGE, text
from tests.conformance.register import load
from tests.pages import renew
from tests.promises.register import ROOT

if __name__ == "__main__" and renew(PAGE, text(load())):
    print(f"written: {PAGE.relative_to(ROOT)}")
