"""What schools have on file: agreements, directions, consents, opt-outs, versions of the privacy policy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import FAILED, FILE, acting, json_flag, main, school_flags, show, table

if TYPE_CHECKING:
    from gateway.flows.on_file import Plan
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


def _hash(path: Path | None) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else None


def _importing(group: click.Group, kind: str, verb: str = "import") -> None:
    """Give a group its `import`: a plan, and with --apply the deed."""

    @group.command(verb)
    @click.argument("file", type=FILE)
    @click.option("--apply", "applied", is_flag=True, help="Put it on file; without this, only say what would change.")
    @json_flag
    @acting
    def import_(parts: Office, by: Person, file: Path, applied: bool, as_json: bool) -> int:
        """Put a file of them (JSON or CSV) on file: planned whole, then applied whole."""
        from gateway.flows import on_file

        found = (on_file.apply if applied else on_file.plan)(parts, by, kind, on_file.read(file))
        _say_plan(found, file, applied=applied, as_json=as_json)
        return FAILED if found.faults else 0


def _say_plan(plan: Plan, file: Path, *, applied: bool, as_json: bool) -> None:
    faults = [
        {"row": f.row, "code": f.reason.code, "detail": f.detail, "remedy": f.reason.remedy, "who": str(f.reason.owner)}
        for f in plan.faults
    ]
    lines = [
        {"row": x.row, "number": x.number, "action": x.action, "ref": x.ref if applied or x.action != "new" else ""}
        for x in plan.lines
    ]
    counts = ", ".join(f"{n} {action}" for action, n in plan.counts.items())
    text = [f"line {x['row']}: {x['action']} {x['number']} {x['ref']}".rstrip() for x in lines[:50]]
    text += [f"… and {len(lines) - 50} more lines."] if len(lines) > 50 else []
    for fault in faults:
        text += [f"line {fault['row']}: {fault['detail']}", f"  code    {fault['code']}",
                 f"  remedy  {fault['remedy']}", f"  who     {fault['who']}"]  # fmt: skip
    if faults:
        count = len({fault.row for fault in plan.faults})
        text.append(f"Nothing was changed: {count} lines cannot be put on file.")
    elif applied:
        text.append(f"On file: {counts}.")
    else:
        text += [f"Plan: {counts}. Nothing was changed.", f"Next: the same with --apply ({file})"]
    show(as_json, {"lines": lines, "faults": faults, "applied": applied and not faults, **plan.counts}, text)


def _ending(group: click.Group, kind: str, verb: str, sentence: str) -> None:
    """Give a group its way to end one."""

    def end(parts: Office, by: Person, ref: str, as_json: bool) -> None:
        from gateway.flows import on_file

        n = on_file.end(parts, by, kind, ref)
        show(as_json, {"ref": ref, "schools": n}, [sentence.format(n=n)])

    end.__doc__ = f"{verb.capitalize()} one now, at every school it stands for."
    group.command(verb)(click.argument("ref")(json_flag(acting(end))))


def _listing(
    group: click.Group, kind: str, title: str, help_: str, columns: Mapping[str, Callable[[Any], Any]]
) -> None:
    """Give a group its `list`: the latest version of each, by school."""

    def list_(parts: Office, by: Person, as_json: bool) -> None:
        from gateway.flows.on_file import latest

        rows = [tuple(said(row) for said in columns.values()) for row in latest(parts, by, kind)]
        table(title, tuple(columns), rows, as_json)

    list_.__doc__ = help_
    group.command("list")(json_flag(acting(list_)))


def _school(row: Any) -> str:
    return str(row.school_ref)


def _status(row: Any) -> str:
    return str(row.status)


# --- agreements ------------------------------------------------------------------------------------


@main.group()
def agreement() -> None:
    """Agreements with vendors, each change a new version."""


@agreement.command("add")
@click.argument("vendor")
@click.option("--element", "schedule", multiple=True, required=True, help="Data element or NDPA category code.")
@click.option("--purpose", "purposes", multiple=True, required=True)
@click.option("--operation", "operations", multiple=True, required=True)
@click.option("--from", "from_", help="First day (default: now).")
@click.option("--until", required=True, help="The day it ends.")
@click.option("--retention-days", type=int, help="How long the vendor may keep the data.")
@click.option("--commitment", "commitments", multiple=True, help="What the vendor binds itself to; `all` for all.")
@click.option("--assured", help="The day of the vendor's written assurance about its security.")
@click.option("--document", type=FILE, help="The signed document; its hash is kept.")
@click.option("--school-agent", is_flag=True, help="The school acts for families of children (COPPA).")
@click.option("--consent-needed", is_flag=True, help="Each family must agree.")
@click.option(
    "--endpoint", "endpoints", multiple=True, help="A host data may be sent to (default: any registered one)."
)
@click.option("--subprocessor", "subprocessors", multiple=True, help="Who else handles the data.")
@click.option("--number", help="The district's own number of the agreement.")
@click.option("--draft", is_flag=True, help="Not in force until it is activated.")
@school_flags
@json_flag
@acting
def agreement_add(
    parts: Office, by: Person, vendor: str, from_: str | None, document: Path | None, draft: bool, as_json: bool,
    **said: Any,
) -> None:  # fmt: skip
    """Record an agreement for schools."""
    from gateway.flows import on_file

    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
    words = listed | {"vendor": vendor, "from": from_, "document": _hash(document)}
    ref = on_file.record(parts, by, "agreement", words | {"status": "draft" if draft else "active"})
    following = f"schoolgate agreement activate {ref}" if draft else (
        f"schoolgate direction add --agreement {ref} … ; schoolgate vendor connect {vendor} …"
    )  # fmt: skip
    show(as_json, {"agreement": ref}, [f"Agreement with {vendor} is {ref}.", f"Next: {following}"])


def _at_schools(verb: str, sentence: str, help_: str) -> None:
    def run(parts: Office, by: Person, ref: str, as_json: bool) -> None:
        from gateway.flows import on_file

        n = getattr(on_file, verb)(parts, by, ref)
        show(as_json, {"ref": ref, "schools": n}, [sentence.format(n=n)])

    run.__doc__ = help_
    agreement.command(verb)(click.argument("ref")(json_flag(acting(run))))


_at_schools("activate", "In force at {n} schools.", "Bring a draft or suspended agreement into force.")
_at_schools("suspend", "Suspended at {n} schools; nothing flows under it.", "Let nothing flow under an agreement.")
_ending(agreement, "agreement", "end", "Ended at {n} schools; nothing flows under it any more.")
_importing(agreement, "agreement")


@agreement.command("list")
@json_flag
@acting
def agreement_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the latest version of each agreement, by school."""
    from gateway.flows.on_file import latest
    from gateway.store import directory

    with parts.database.open_district(by.district) as session:
        names = {row.vendor: row.name for row in directory.vendors(session)}
    rows = [
        (f"{r.agreement}@{r.version}", r.body["number"], r.school_ref, names.get(r.vendor), r.status, r.expires_at,
         r.body["operations"], len(r.body["schedule"]))
        for r in latest(parts, by, "agreement")
    ]  # fmt: skip
    columns = ("ref", "number", "school", "vendor", "status", "until", "operations", "elements")
    table("Agreements", columns, rows, as_json)


# --- directions ------------------------------------------------------------------------------------


@main.group()
def direction() -> None:
    """Directions: somebody entitled asks for a transfer."""


@direction.command("add")
@click.option("--agreement", required=True)
@click.option("--operation", required=True)
@click.option("--until", required=True, help="The day it ends.")
@click.option("--element", "elements", multiple=True, help="Narrow it to elements.")
@click.option("--record", help="One document, as reference@version.")
@click.option("--number", help="The district's own number of the direction.")
@school_flags
@json_flag
@acting
def direction_add(parts: Office, by: Person, until: str, as_json: bool, **said: Any) -> None:
    """Direct a kind of transfer, or one document."""
    from gateway.flows import on_file

    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
    ref = on_file.record(parts, by, "direction", listed | {"until": until})
    show(as_json, {"direction": ref}, [f"Direction {ref} stands until {until}."])


_ending(direction, "direction", "revoke", "Revoked at {n} schools.")
_importing(direction, "direction")
_listing(direction, "direction", "Directions", "Show the latest version of each direction, by school.", {
    "ref": lambda r: f"{r.direction}@{r.version}", "school": _school, "agreement": lambda r: r.agreement,
    "operation": lambda r: r.operation, "by": lambda r: r.body["role"], "status": _status,
    "until": lambda r: r.expires_at,
})  # fmt: skip


# --- families' answers -----------------------------------------------------------------------------


@main.group()
def consent() -> None:
    """Consents and refusals of families, and of pupils of age."""


@consent.command("add")
@click.option("--school", required=True)
@click.option("--pupil", required=True, help="sourcedId, local number or full name.")
@click.option("--scope", required=True, help="use (here), or disclose (to vendors).")
@click.option("--status", required=True, help="pending, given, refused or withdrawn.")
@click.option("--grantor", required=True, help="parent, eligible_student or school_as_agent.")
@click.option("--agreement", help="The agreement it is about; all when none.")
@click.option("--method", help="How the person was known and answered (signed form, portal sign-in).")
@click.option("--answered", help="The day it was answered.")
@click.option("--document", type=FILE, help="The text that was shown and agreed to; its hash is kept.")
@click.option("--from", "from_", help="First day (default: the day it was answered).")
@click.option("--until", help="The day it ends, when it does.")
@click.option("--number", help="The school's own number; or the reference of an answer on file that is now another.")
@json_flag
@acting
def consent_add(
    parts: Office, by: Person, document: Path | None, from_: str | None, as_json: bool, **said: Any
) -> None:
    """Record an answer of a family, or of a pupil of age."""
    from gateway.flows import on_file

    ref = on_file.record(parts, by, "consent", said | {"document": _hash(document), "from": from_})
    show(as_json, {"consent": ref}, [f"The answer is on file as {ref}."])


_ending(consent, "consent", "withdraw", "Withdrawn at {n} schools; nothing leaves under it any more.")
_importing(consent, "consent")
_listing(consent, "consent", "Consents", "Show the latest version of each answer, by school.", {
    "ref": lambda r: f"{r.consent}@{r.version}", "number": lambda r: r.body.get("number"), "school": _school,
    "pupil": lambda r: r.person_id, "scope": lambda r: r.scope, "agreement": lambda r: r.agreement, "status": _status,
    "by": lambda r: r.grantor, "from": lambda r: r.valid_from, "until": lambda r: r.valid_until,
})  # fmt: skip


@main.group("opt-out")
def opt_out() -> None:
    """Opt-outs of kinds of recipients."""


@opt_out.command("add")
@click.option("--school", required=True)
@click.option("--pupil", required=True, help="sourcedId, local number or full name.")
@click.option("--category", help="The kind of recipient; any when none.")
@click.option("--until", help="The day it ends, when it does.")
@click.option("--number", help="The school's own number of the opt-out.")
@json_flag
@acting
def opt_out_add(parts: Office, by: Person, as_json: bool, **said: Any) -> None:
    """Record that a pupil or family opts out."""
    from gateway.flows import on_file

    ref = on_file.record(parts, by, "opt_out", said)
    show(as_json, {"opt_out": ref}, [f"The opt-out is on file as {ref}."])


_ending(opt_out, "opt_out", "end", "Ended at {n} schools.")
_importing(opt_out, "opt_out")
_listing(opt_out, "opt_out", "Opt-outs", "Show the latest version of each opt-out, by school.", {
    "ref": lambda r: f"{r.opt_out}@{r.version}", "school": _school, "pupil": lambda r: r.person_id,
    "category": lambda r: r.category or "any", "status": _status, "until": lambda r: r.valid_until,
})  # fmt: skip


# --- the privacy policy ----------------------------------------------------------------------------


@main.group()
def policy() -> None:
    """Versions of the privacy policy: who was told, who agreed."""


@policy.command("add")
@click.argument("policy")
@click.argument("version", type=int)
@click.option("--change", required=True, help="editorial, material or less_restrictive.")
@click.option("--effective", required=True, help="The day it takes effect.")
@click.option("--opens", multiple=True, help="A purpose it newly permits.")
@click.option("--document", type=FILE, required=True, help="Its text; its hash is kept.")
@json_flag
@acting
def policy_add(parts: Office, by: Person, document: Path, opens: Sequence[str], as_json: bool, **said: Any) -> None:
    """Record a version of a privacy policy."""
    from gateway.flows import on_file

    on_file.record_policy(parts, by, "policy_version", said | {"opens": list(opens), "document": _hash(document)})
    following = f"On file. Next: schoolgate policy notice {said['policy']} {said['version']} --channel …"
    show(as_json, {"policy": said["policy"], "version": said["version"]}, [following])


@policy.command("govern")
@click.argument("policy")
@json_flag
@acting
def policy_govern(parts: Office, by: Person, policy: str, as_json: bool) -> None:
    """Let a privacy policy govern the district from now on; the strictest governs where none was chosen."""
    from gateway.flows import on_file

    n = on_file.record_policy(parts, by, "source_policy", {"policy": policy})
    text = f"{policy} governs {n} schools from now on." if n else f"{policy} governs already."
    show(as_json, {"policy": policy, "schools": n}, [text])


_importing(policy, "policy_version")
_importing(policy, "policy_word", "import-words")


def _word(verb: str, word: str, sentence: str, help_: str) -> Callable[..., Any]:
    def run(
        parts: Office, by: Person, policy: str, version: int, schools: Sequence[str], as_json: bool, **said: Any
    ) -> None:
        from gateway.flows import on_file

        told = said | {"policy": policy, "version": version, "schools": list(schools), "word": word}
        n = on_file.record_policy(parts, by, "policy_word", told)
        show(as_json, {"policy": policy, "version": version, "schools": n}, [sentence.format(n=n)])

    run.__doc__ = help_
    command = school_flags(json_flag(acting(run)))
    for option in ("--channel", "--at"):
        command = click.option(option)(command)
    command = click.argument("policy")(click.argument("version", type=int)(command))
    return policy.command(verb)(command)


_word("notice", "noticed", "Told at {n} schools.", "Record that schools were told of a version.")
_word("accept", "accepted", "Accepted for {n} schools.", "Record that schools agree to a version.")


@policy.command("list")
@json_flag
@acting
def policy_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the versions on file, and which schools were told and agreed."""
    from gateway.flows import onboarding
    from gateway.store import on_file

    where = [place.school for place in onboarding.places(parts, by, ())]
    with parts.database.open_schools(by.district, where) as session:
        versions, words = on_file.policy_versions(session), on_file.policy_words(session)
        governs = on_file.source_policies(session)[-1].policy
    said = {(w.policy, w.version, w.word): 0 for w in words}
    for w in words:
        said[w.policy, w.version, w.word] += 1
    rows = [
        (v.policy, v.version, v.change, v.effective_at, v.opens, said.get((v.policy, v.version, "noticed"), 0),
         said.get((v.policy, v.version, "accepted"), 0))
        for v in versions
    ]  # fmt: skip
    if not as_json:
        click.echo(f"{governs} governs.")
    table("Policy versions", ("policy", "version", "change", "effective", "opens", "told", "agreed"), rows, as_json)
