"""The promises of the four privacy policies: a register of them, the page made from it, and tests that it is true."""
