"""The whole page: one HTML file that loads nothing, runs nothing, and shows nothing that is not in it.

Its policy (a `Content-Security-Policy`) allows one style, named by its digest, and nothing else: no script, no picture,
no font, no connection, whatever a payload holds. The file is well-formed XML as well. Nothing in it depends on when,
where or by whom it was made.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from projections.reporting import overview, records
from projections.reporting.covering import covered
from projections.reporting.facts import Facts
from projections.reporting.markup import Markup, tag
from projections.reporting.pieces import Shown
from projections.reporting.style import STYLE

_DIGEST: Final = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'"


def page(told: Facts) -> Iterator[bytes]:
    """The page, piece by piece; what the rules of `told` meet is not in it."""
    told = covered(told)
    report = told.report
    begin, end = records.decisions_shown(report.decisions)
    shown = Shown(one.version for decision in (*begin, *end) for one in decision.transitions)
    parting = overview.parting(told, shown)
    first = report.first_cause
    sections = [
        ("cause", "First cause"),
        ("chain", "How it came to that"),
        *([("code", "Where the code and the record part")] if parting is not None else []),
        ("timeline", "Timeline"),
        ("steps", "Steps"),
        ("attempts", "Attempts"),
        ("approvals", "Approvals"),
        ("people", "Who acted"),
        ("time", "Where the time went"),
        ("events", "Events"),
    ]
    words = "" if first is None else f", first cause: event {first.version}"
    title = f"{report.workflow} {report.status}{words} – Handrail report"
    yield b'<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml">\n'
    yield _encoded(_head(title))
    yield b"<body>\n"
    yield _encoded(overview.head(told))
    yield _encoded(overview.contents(sections))
    yield b"<main>\n"
    yield _encoded(overview.answer(told, shown))
    yield _encoded(overview.chain(told, shown))
    if parting is not None:
        yield _encoded(parting)
    yield _encoded(overview.when(told))
    yield _encoded(overview.steps(told))
    yield _encoded(records.attempts(told, shown))
    yield _encoded(records.approvals(told, shown))
    yield _encoded(records.people(told, shown))
    yield _encoded(overview.time_went(told))
    yield _encoded(records.events(told, begin, end, shown))
    yield b"</main>\n</body>\n</html>\n"


def _head(title: str) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", title),
        Markup(f"<style>{STYLE}</style>"),
    )


def _encoded(markup: Markup) -> bytes:
    return f"{markup}\n".encode()
