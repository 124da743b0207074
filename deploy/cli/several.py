"""The options of an act that is for one workflow or for many: which go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from domain.errors import InputInvalid

if TYPE_CHECKING:
    from deploy.cli.many import How
    from deploy.cli.session import Session


def check_one(
    verb: str, workflow_id: str | None, of_many: Mapping[str, bool], *, rate: str | None, dry_run: bool, yes: bool
) -> str:
    """The id of the one workflow that is meant. Raises InputInvalid where there is none, or options of many are given.

    `of_many` says what would choose many, and whether some part of that was given.
    """
    choice = ", ".join(of_many)
    if rate is not None or dry_run or yes or any(of_many.values()):
        raise InputInvalid(f"--tag, --rate, --dry-run and --yes are for many: choose which with {choice}")
    if workflow_id is None:
        raise InputInvalid(f"{verb} what? give the ID of a workflow, or {choice} for many")
    return workflow_id


def check_many(choice: str, workflow_id: str | None, of_one: Mapping[str, bool]) -> None:
    """Raise InputInvalid where one workflow is named, or what belongs to one is given."""
    wrong = ["ID"] if workflow_id is not None else []
    wrong += [name for name, given in of_one.items() if given]
    if wrong:
        raise InputInvalid(f"{choice} chooses many, and {', '.join(wrong)} is for one: give the one or the other")


def check_open_status(given: str) -> str:
    """The status; raises InputInvalid where there is none of that name, or workflows in it have ended."""
    from deploy.cli.listing import check_status
    from domain.state import TERMINAL

    status = check_status(given) or ""
    if status in {one.value for one in TERMINAL}:
        raise InputInvalid(f"--status {status}: those workflows have ended, and nothing of them can be cancelled")
    return status


def how_of(rate: str | None, *, dry_run: bool, yes: bool) -> How:
    """How many are acted on. Raises InputInvalid where the rate is none."""
    from deploy.cli.dead import read_rate
    from deploy.cli.many import DEFAULT_RATE, How

    return How(DEFAULT_RATE if rate is None else read_rate(rate), yes, dry_run)


def why_of(by: str | None, reason: str | None, *, dry_run: bool) -> tuple[str, str]:
    """Who acts, and why: needed, unless nothing is done. Raises InputInvalid."""
    from deploy.cli.given import read_name, read_reason

    return read_name(by), read_reason(reason, needed=not dry_run)


def session_of(home: str | None, module: list[str] | None, *, as_json: bool) -> Session:
    """The place that is acted on. Raises InputInvalid where there is none."""
    from deploy.cli.session import Session

    session = Session(home, module, as_json=as_json)
    session.must_exist()
    return session
