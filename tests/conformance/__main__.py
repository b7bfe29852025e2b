"""`python -m tests.conformance` writes docs/conformance.md."""

from __future__ import annotations

from tests.conformance.page import PAGE, write
from tests.promises.register import ROOT

if __name__ == "__main__" and write():
    print(f"written: {PAGE.relative_to(ROOT)}")
