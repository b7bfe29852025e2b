"""A receipt shows that a pupil was in a transfer, to anybody, and only staff of the school can have one made."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from gateway import errors
from gateway.cli import main
from gateway.errors import Refused
from gateway.flows import receipts
from gateway.identity import staff
from gateway.ledger import receipt
from tests.worlds import World

MOST = 5 * 1024


@pytest.fixture
def read(world) -> tuple[World, str]:
    """Both schools' rosters were read by a vendor; the reference of school A's transfer."""
    world.standing(40)
    assert world.reader("A", "B", schedule=("SNM", "ENR", "SCH", "DEM")).sign_in().read("students").status_code == 200
    return world, transfer(world, "A")


def transfer(world: World, org: str) -> str:
    return [one["id"] for one in world.ledger(org) if one["type"] == "intent"][-1]


def issued(world: World, pupil: str, of: str, org: str = "A") -> receipt.Receipt:
    return receipts.issue(world.office, world.by, world.places[org], pupil, of)


def test_every_pupil_of_a_page_gets_a_receipt_that_verifies_offline(read):
    world, sent = read
    for pupil in ("p0", "p2", "p38"):
        made = issued(world, pupil, sent)
        shown = receipt.check(made.text().encode(), made.key)
        assert (shown.pupil, shown.transfer, shown.entry["type"]) == (pupil, sent, "intent")
        assert shown.origin == f"schoolgate/{world.refs['A']}"
        assert len(made.text().encode()) <= MOST


def test_the_name_on_file_finds_the_pupil_and_the_receipt_says_the_id(read):
    world, sent = read
    assert issued(world, "Givenp0 Familyp0", sent).pupil == "p0"


@pytest.mark.parametrize("pupil", ["p1", "nobody", ""])
def test_who_was_not_in_it_gets_none(read, pupil):
    world, sent = read
    with pytest.raises(Refused) as refused:
        issued(world, pupil, sent)
    assert refused.value.reason is errors.OWN_NOT_ASSOCIATED


def test_a_transfer_of_another_school_or_of_nobody_is_none(read):
    world, _ = read
    for other in (transfer(world, "B"), "tr_00000000", ""):
        with pytest.raises(Refused) as refused:
            issued(world, "p0", other)
        assert refused.value.reason is errors.OWN_NOT_ASSOCIATED


def test_a_receipt_outlives_the_salt_and_no_new_one_can_be_made(read):
    world, sent = read
    made = issued(world, "p0", sent)
    with world.office.database.open_erasure(world.places["A"]) as session:
        session.run("DELETE FROM subject_key WHERE person_id = 'p0' AND district = %(district)s")
    assert receipt.check(made.text().encode(), made.key).pupil == "p0"
    with pytest.raises(Refused) as refused:
        issued(world, "p0", sent)
    assert refused.value.reason is errors.OWN_NOT_ASSOCIATED
    assert issued(world, "p2", sent).pupil == "p2"


def test_receipts_of_two_transfers_share_nothing_that_is_a_persons(read):
    world, sent = read
    world.reader("A", name="Second").sign_in().read("students")
    first, second = issued(world, "p0", sent), issued(world, "p0", transfer(world, "A"))
    assert first.opening != second.opening
    assert first.body != second.body


def test_only_who_may_read_the_school_has_one_made(read):
    world, sent = read
    stranger = staff.Person("st_zzzzzzzz", "Nobody", world.by.district, frozenset(), frozenset())
    with pytest.raises(Refused) as refused:
        receipts.issue(world.office, stranger, world.places["A"], "p0", sent)
    assert refused.value.reason.code.startswith("ACT_")


def test_the_command_makes_one_and_verifies_it_with_nothing_at_hand(read, addresses, tmp_path):
    world, sent = read
    settings, out = world.office.settings, tmp_path / "p0.txt"
    inside = {"SCHOOLGATE_INSTANCE": str(settings.instance), "DATABASE_URL": addresses.application,
              "SCHOOLGATE_TOKEN": world.token, "SCHOOLGATE_SANDBOX": "1"}  # fmt: skip
    asked = ["ledger", "receipt", "--school", world.refs["A"], "--pupil", "p0", "--transfer", sent, "--out", str(out)]
    done = CliRunner(env=inside).invoke(main, asked)
    assert (done.exit_code, "Next: schoolgate ledger verify" in done.stdout) == (0, True), done.output
    offline = CliRunner(env={"SCHOOLGATE_INSTANCE": "/nonexistent", "DATABASE_URL": "", "SCHOOLGATE_TOKEN": ""})
    said = offline.invoke(main, ["ledger", "verify", str(out), "--json"])
    assert (json.loads(said.stdout)["pupil"], json.loads(said.stdout)["entry"]["id"]) == ("p0", sent)
    assert f"Valid: pupil 'p0' was in transfer {sent}" in offline.invoke(main, ["ledger", "verify", str(out)]).stdout
    out.write_text(out.read_text().replace('pupil "p0"', 'pupil "p1"'))
    refused = offline.invoke(main, ["ledger", "verify", str(out)])
    assert (refused.exit_code, "LED_INVALID" in refused.stdout) == (1, True)
    assert offline.invoke(main, ["ledger", "verify", str(out), "--since", str(out)]).exit_code == 2
