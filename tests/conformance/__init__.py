"""The clauses of LTI that we implement: a register of them, the page made from it, and tests that it is true."""
