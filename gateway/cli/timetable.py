"""The timetable of sources: nights, pauses, how far a run has come, what the district is told."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import acting, json_flag, main, show, table
from gateway.cli.places import district
from gateway.cli.sync import sync

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person

_ISO = "%Y-%m-%d %H:%M %Z"


class Moment(click.ParamType[Any]):
    """A time: `2026-12-20T08:00` in the district's zone or with an offset, a day, or a span from now (`3d`, `12h`)."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        span = re.fullmatch(r"([1-9][0-9]{0,3})([dh])", str(value))
        if span:
            return timedelta(**{{"d": "days", "h": "hours"}[span[2]]: int(span[1])})
        try:
            return datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value} is not a time: 2026-12-20T08:00, 2026-12-20, 3d or 12h", param, ctx)


def _at(parts: Office, by: Person, when: datetime | timedelta | None) -> datetime | None:
    """Return a typed time as a moment."""
    from gateway.flows.rosters import timetable

    if when is None:
        return None
    if isinstance(when, timedelta):
        return parts.clock.now() + when
    return (when if when.tzinfo else timetable.local(parts, by, when)).astimezone(UTC)


@sync.command("timetable")
@click.argument("source_name", metavar="SOURCE")
@click.argument("verb", type=click.Choice(["show", "set"]), default="show")
@click.option("--at", help="The local time of its night, HH:MM.")
@click.option("--weekday", "weekdays", multiple=True, metavar="DAY", help="A day it runs on: mon … sun; all when none.")
@click.option("--holiday", "holidays", multiple=True, metavar="DAY[/DAY]", help="A day or span without a night.")
@click.option("--no-holidays", is_flag=True, help="Forget the holidays.")
@click.option("--peak", "peaks", multiple=True, metavar="HH:MM-HH:MM", help="A local window in which no run begins.")
@click.option("--no-peaks", is_flag=True, help="Forget the peak windows.")
@click.option("--terms/--no-terms", default=None, help="Outside the roster's own terms run once a week only.")
@json_flag
@acting
def sync_timetable(
    parts: Office, by: Person, source_name: str, verb: str, at: str | None, weekdays: tuple[str, ...],
    holidays: tuple[str, ...], no_holidays: bool, peaks: tuple[str, ...], no_peaks: bool, terms: bool | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Show when a source runs by itself, or set it.

    Every source that is fetched runs each night at a minute of its own between 01:00 and 05:00 of the district's time.
    Of files that are handed in, and of a watched folder, it is the time by which one should have come.
    """
    from gateway.flows.rosters import timetable

    said: dict[str, Any] = {"at": at, "weekdays": weekdays or None, "terms": terms}
    said |= {"holidays": holidays or (() if no_holidays else None), "peaks": peaks or (() if no_peaks else None)}
    given = {name: value for name, value in said.items() if value is not None}
    if (verb == "set") != bool(given):
        raise click.UsageError("`set` takes what is to be set, `show` takes nothing")
    shown = timetable.set_plan(parts, by, source_name, given) if given else timetable.show(parts, by, source_name)
    show(as_json, shown, list(_plan(shown)))


def _plan(said: dict[str, Any]) -> Any:
    if not said["nightly"]:
        yield f"{said['name']}: files are handed in; none is expected at any time."
    elif said["expects"]:
        yield f"{said['name']}: a delivery should have come by {said['at']} ({said['zone']})."
    else:
        yield f"{said['name']}: runs at {said['at']} ({said['zone']})."
    if said["nightly"]:
        yield f"  days      {' '.join(said['weekdays'])}{', in the terms of the roster' if said['terms'] else ''}"
        yield f"  holidays  {', '.join(said['holidays']) or 'none'}"
        yield f"  peaks     {', '.join([*said['peaks'], *said['their_peaks']]) or 'none'}"
        yield f"  next      {said['next']:{_ISO}}"
        if said["said"]:
            tried = f" (tried {said['attempt']} times)" if said["attempt"] else ""
            yield f"  last      {said['said']}{tried}"
    if said["paused"]:
        yield _paused(said)
        yield f"Next: schoolgate sync resume {said['name']}"


def _paused(said: dict[str, Any]) -> str:
    until = said["paused"]["until_at"]
    ends = f"until {until:{_ISO}}" if until else "until somebody resumes it"
    return f"Paused {ends}: {said['paused']['reason']} ({said['paused']['created_by']})"


@sync.command("pause")
@click.argument("source_name", metavar="SOURCE")
@click.option("--reason", required=True, help="Why, for whoever finds it paused.")
@click.option(
    "--until", type=Moment(), help="When it is over: a time, a day, 3d or 12h; until it is resumed when absent."
)
@click.option("--from", "from_", type=Moment(), help="When it begins; now when absent.")
@json_flag
@acting
def sync_pause(parts: Office, by: Person, source_name: str, reason: str, until: Any, from_: Any, as_json: bool) -> None:
    """Leave a source alone: nothing of it is fetched or published meanwhile."""
    from gateway.flows.rosters import timetable

    said = timetable.pause(parts, by, source_name, reason, _at(parts, by, from_), _at(parts, by, until))
    text = _paused(said) if said["paused"] else f"{said['name']} will be paused."
    show(as_json, said, [text, f"Next: schoolgate sync resume {source_name}"])


@sync.command("resume")
@click.argument("source_name", metavar="SOURCE")
@json_flag
@acting
def sync_resume(parts: Office, by: Person, source_name: str, as_json: bool) -> None:
    """End the pause that a source is in."""
    from gateway.flows.rosters import timetable

    said = timetable.resume(parts, by, source_name)
    show(as_json, said, [f"{said['name']} is not paused any more.", f"Next: schoolgate sync timetable {source_name}"])


@sync.command("progress")
@click.argument("source_name", metavar="SOURCE")
@json_flag
@acting
def sync_progress(parts: Office, by: Person, source_name: str, as_json: bool) -> None:
    """Show how far a source's run has come that is going on now, here or on another machine."""
    from gateway.flows.rosters import progress, timetable

    with parts.database.open_intake(by.district) as session:
        found = timetable.named(session, source_name)
        now = progress.standing(session, found.source, parts.clock.now())
    show(as_json, now or {}, [_progress(now) if now else f"No run of {found.name} is going on."])


def _progress(now: dict[str, Any]) -> str:
    if now["state"] == "lost":
        return f"{now['run']} was lost at {now['step']}, last heard of {now['updated_at']:{_ISO}}; run it again."
    rows = f"{now['rows']:,} rows" + (f" of about {now['of']:,}" if now["of"] else "")
    rate = f", {now['rows_per_second']:,} rows/s" if now["rows_per_second"] else ""
    left = f", about {now['seconds_left']} s left" if now["seconds_left"] is not None else ""
    return f"{now['run']}: {now['step']}, {rows}{rate}{left}"


@district.command("zone")
@click.argument("zone")
@json_flag
@acting
def district_zone(parts: Office, by: Person, zone: str, as_json: bool) -> None:
    """Say in which time zone the district lives; its nights are reckoned by it."""
    from gateway.flows.rosters import timetable

    key = timetable.set_zone(parts, by, zone)
    show(as_json, {"zone": key}, [f"The district's nights are those of {key}."])


@main.group()
def notifications() -> None:
    """What became of the district's sources: held, failed, drifting, missing, changed."""


@notifications.command("list")
@click.option("--all", "every", is_flag=True, help="Those that somebody has seen, too.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The latest of them.")
@json_flag
@acting
def notifications_list(parts: Office, by: Person, every: bool, limit: int, as_json: bool) -> None:
    """Show what nobody has seen yet, the latest first."""
    from gateway.errors import VOCABULARY
    from gateway.store import notifications

    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        rows = notifications.listing(session, unseen=not every, limit=limit)
    shown = [
        (r.notification, r.cause, r.source_name or r.source, r.run, r.code,
         VOCABULARY[r.code].sentence if r.code in VOCABULARY else "", r.day.isoformat(), r.sends, r.seen_by)
        for r in rows
    ]  # fmt: skip
    columns = ("ref", "cause", "source", "run", "code", "sentence", "day", "sent", "seen by")
    table("Notifications", columns, shown, as_json)


@notifications.command("seen")
@click.argument("refs", nargs=-1, metavar="[REF]...")
@click.option("--all", "every", is_flag=True, help="All of them.")
@json_flag
@acting
def notifications_seen(parts: Office, by: Person, refs: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Note that they have been seen."""
    from gateway.flows.notifications import ways

    if every == bool(refs):
        raise click.UsageError("name notifications, or --all")
    count = ways.see(parts, by, list(refs))
    show(as_json, {"seen": count}, [f"{count} of them were new to everybody."])


@notifications.group("webhook")
def webhook() -> None:
    """An address of the district's own that hears of everything."""


@webhook.command("set")
@click.argument("url")
@json_flag
@acting
def webhook_set(parts: Office, by: Person, url: str, as_json: bool) -> None:
    """Send notifications to an https address, signed; the secret that signs them is shown once."""
    from gateway.flows.notifications import ways

    secret = ways.set_webhook(parts, by, url)
    text = [f"Notifications go to {url}.", "The secret that signs them is shown once:", secret,
            "Schoolgate-Signature: v1=HMAC-SHA256(secret, Schoolgate-Timestamp + '.' + body), in hex"]  # fmt: skip
    show(as_json, {"url": url, "secret": secret}, text)


@notifications.group("mail")
def mail() -> None:
    """A mailbox that hears of everything, where the operator has set a mail server."""


@mail.command("set")
@click.argument("address")
@json_flag
@acting
def mail_set(parts: Office, by: Person, address: str, as_json: bool) -> None:
    """Send notifications to one mailbox."""
    from gateway.flows.notifications import ways

    ways.set_mail(parts, by, address)
    sends = bool(parts.settings.smtp_url)
    note = [] if sends else ["No mail server is set (SCHOOLGATE_SMTP_URL): until the operator sets one, none is sent."]
    show(as_json, {"address": address, "sends": sends}, [f"Notifications go to {address}.", *note])


def _remove(way: str) -> Any:
    @json_flag
    @acting
    def run(parts: Office, by: Person, as_json: bool) -> None:
        from gateway.flows.notifications import ways

        there = ways.stop(parts, by, way)
        show(as_json, {"removed": there}, ["Removed." if there else "There was none."])

    return run


webhook_remove = webhook.command("remove", help="Send nothing to the webhook any more.")(_remove("webhook"))
mail_remove = mail.command("remove", help="Send nothing to the mailbox any more.")(_remove("mail"))
