"""Commands on dead letters: the records that no projection could take."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from maplebridge import city
from maplebridge.cli.options import HOME, Home, Json, Limit
from maplebridge.cli.output import complaints, console, counted, print_json, print_table
from maplebridge.errors import InputError
from maplebridge.processors.letters import DeadLetters
from maplebridge.projections.letters import OPEN, Letter, LetterPlace, letters
from maplebridge.projections.store import connect, translated
from maplebridge.schemas import load_catalogue
from maplebridge.wiring import make_codec

Place = Annotated[str, typer.Argument(help="TOPIC/PARTITION/OFFSET, as `list` shows it.")]
Topic = Annotated[str, typer.Option("--topic", help="Letters of one topic.")]
ReasonLike = Annotated[
    str, typer.Option("--reason-like", help="Letters whose reason holds this text.")
]
Everything = Annotated[bool, typer.Option("--all", help="Every open letter that fits.")]
By = Annotated[str, typer.Option("--by", help="Who does it; your login if not given.")]


def commands() -> typer.Typer:
    app = typer.Typer(help="Records that no projection could take.", no_args_is_help=True)
    app.command("list")(list_)
    app.command("show")(show)
    app.command("retry")(retry)
    app.command("discard")(discard)
    return app


def list_(
    topic: Topic = "",
    reason_like: ReasonLike = "",
    state: Annotated[
        Literal["open", "retried", "discarded", "all"],
        typer.Option("--state", help="What was done about them."),
    ] = "open",
    limit: Limit = 50,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List refused records with their reason; by default those nothing was done about."""
    settings = city.running_profile(home, needs=(city.POSTGRESQL,)).settings("query")
    with translated(settings), connect(settings) as connection:
        found = letters(
            connection,
            topic=topic or None,
            reason_like=reason_like or None,
            state=None if state == "all" else state,
            limit=limit,
        )
    if as_json:
        for letter in found:
            print_json({"place": str(letter.place), **asdict(letter)})
        return
    if not found:
        console.print("No dead letters.")
        return
    print_table(
        "Dead letters",
        ("letter", "reason", "field", "schema id", "age", "state"),
        [
            (each.place, each.reason, each.path, each.schema_id, _age(each), each.state)
            for each in found
        ],
    )


def show(place: Place, home: Home = HOME, as_json: Json = False) -> None:
    """Show a refused record: its reason, sizes and fields by name, never what a field holds."""
    with _desk(home) as (desk, _):
        told = desk.show(LetterPlace.parse(place))
    if as_json:
        print_json(asdict(told))
        return
    letter = told.letter
    facts = {
        "reason": letter.reason,
        "first failing field": letter.path,
        "schema": f"{letter.schema_id} {told.contract}".replace("None", "").strip(),
        "taken by the broker": letter.appended_at,
        "key, bytes": told.key_bytes,
        "value, bytes": told.value_bytes,
        "state": letter.state,
        "by": letter.acted_by,
        "note": letter.note,
    }
    print_table(place, ("", ""), [(name, fact) for name, fact in facts.items() if fact is not None])
    if told.headers:
        print_table("Headers", ("name", "value"), sorted(told.headers.items()))
    if told.fields:
        print_table("Fields", ("field", "grade", "holds"), told.fields)


def retry(
    place: Annotated[str, typer.Argument(help="TOPIC/PARTITION/OFFSET; or --all.")] = "",
    everything: Everything = False,
    topic: Topic = "",
    reason_like: ReasonLike = "",
    by: By = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Send refused records to their topic again, byte for byte, after the cause was mended."""
    with _desk(home) as (desk, find):
        _each(
            "retried",
            _chosen(place, find, everything=everything, topic=topic, reason_like=reason_like),
            lambda one: desk.retry(one, by=by or getpass.getuser()),
            as_json=as_json,
        )


def discard(
    place: Annotated[str, typer.Argument(help="TOPIC/PARTITION/OFFSET; or --all.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why nothing will be done.")] = "",
    everything: Everything = False,
    topic: Topic = "",
    reason_like: ReasonLike = "",
    by: By = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Record that nothing will be done about refused records; they stay in their topic."""
    if not reason:
        raise InputError("a letter is discarded for a reason.", todo="Give one with --reason.")
    with _desk(home) as (desk, find):
        _each(
            "discarded",
            _chosen(place, find, everything=everything, topic=topic, reason_like=reason_like),
            lambda one: desk.discard(one, by=by or getpass.getuser(), reason=reason),
            as_json=as_json,
        )


Find = Callable[[str, str], list[LetterPlace]]
"""topic, a part of the reason -> the open letters that fit"""


@contextmanager
def _desk(home: Path) -> Iterator[tuple[DeadLetters, Find]]:
    profile = city.running_profile(home, needs=(city.POSTGRESQL, city.KAFKA))
    admin = profile.settings("admin")
    with translated(admin), connect(admin) as connection:

        def find(topic: str, reason_like: str) -> list[LetterPlace]:
            found = letters(
                connection, topic=topic or None, reason_like=reason_like or None, state=OPEN
            )
            return [letter.place for letter in found]

        yield DeadLetters(admin, connection, make_codec(admin, load_catalogue())), find


def _chosen(
    place: str, find: Find, *, everything: bool, topic: str, reason_like: str
) -> list[LetterPlace]:
    if bool(place) == everything:
        raise InputError(
            "one letter or --all.", todo="Name one as TOPIC/PARTITION/OFFSET, or give --all."
        )
    return [LetterPlace.parse(place)] if place else find(topic, reason_like)


def _each(
    what: str,
    places: list[LetterPlace],
    work: Callable[[LetterPlace], bool],
    *,
    as_json: bool,
) -> None:
    """Do it to each; of many, one that cannot be done holds up no other."""
    done = 0
    refused: list[InputError] = []
    for place in places:
        try:
            changed = work(place)
        except InputError as error:
            if len(places) == 1:
                raise
            refused.append(error)
            continue
        done += changed
    for each in refused:
        complaints.print(str(each), markup=False)
    if as_json:
        print_json({what: done, "refused": len(refused), "letters": len(places)})
    else:
        console.print(f"{done} of {counted(len(places), 'letter')} {what}")
    if refused:
        raise typer.Exit(InputError.exit_code)


def _age(letter: Letter) -> str:
    if letter.appended_at is None:
        return ""
    minutes = int((datetime.now(UTC) - letter.appended_at).total_seconds()) // 60
    days, hours = divmod(minutes // 60, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min"
