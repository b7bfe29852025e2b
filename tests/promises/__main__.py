"""`python -m tests.promises` writes docs/promises.md; with ids, says where the lines of these promises stand now."""

from __future__ import annotations

import sys

from tests.pages import renew
from tests.promises.page import PAGE, text
from tests.promises.register import ROOT, load


def main(ids: list[str]) -> int:
    """Do what was asked; return the exit status."""
    if not ids:
        if renew(PAGE, text(load())):
            print(f"written: {PAGE.relative_to(ROOT)}")
        return 0
    known = {one.id: one for one in load()}
    for id_ in ids:
        if id_ not in known:
            print(f"there is no promise {id_}", file=sys.stderr)
            return 2
        one = known[id_]
        print(f"{one.id} ({one.state}{f'; waits for {one.waiting}' if one.waiting else ''}): {one.says}")
        for line in one.lines:
            print("".join(f"  {line.file}:{number}: {line.text}" for number in line.numbers()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
