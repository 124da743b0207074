"""Logs: one JSON object a line for machines, words at a terminal, and what each is about in either."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from deploy.serving.logs import LIBRARIES, MOST_CHARACTERS, OUTSPOKEN, log_to_stream


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logger_put_back() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("handrail", *LIBRARIES, *OUTSPOKEN)]
    before = [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_a_line_of_json_names_workflow_step_attempt_and_message() -> None:
    stream = io.StringIO()
    log_to_stream(stream=stream)
    logging.getLogger("handrail.consumers").warning(
        "said %s\nover two lines", "it", extra={"message_id": "wf_001/pay/run/3"}
    )
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert said["message"] == "said it\nover two lines"
    assert (said["level"], said["logger"]) == ("warning", "handrail.consumers")
    assert (said["workflow"], said["step"], said["kind"], said["attempt"]) == ("wf_001", "pay", "run", 3)
    assert said["message_id"] == "wf_001/pay/run/3"
    assert said["at"].endswith("Z")


def test_what_libraries_say_is_a_line_of_json_too_and_a_lost_connection_is_no_news_of_theirs() -> None:
    stream = io.StringIO()
    log_to_stream(stream=stream)
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    logging.getLogger("aiormq.connection").error("error when creating transport")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["logger"] == "asyncio"


def test_a_message_id_that_is_no_commands_stays_as_it_is() -> None:
    stream = io.StringIO()
    log_to_stream(stream=stream)
    logging.getLogger("handrail.x").info("taken", extra={"message_id": "from another service"})
    said = json.loads(stream.getvalue())
    assert said["message_id"] == "from another service"
    assert "workflow" not in said


def test_a_terminal_gets_words() -> None:
    stream = Terminal()
    log_to_stream(stream=stream)
    logging.getLogger("handrail.x").error("it broke", extra={"message_id": "wf_001/pay/run/3"})
    line = stream.getvalue()
    assert "error   it broke" in line
    assert "workflow=wf_001 step=pay" in line
    assert not line.startswith("{")


def test_a_trace_and_a_long_text_stay_on_one_bounded_line() -> None:
    stream = io.StringIO()
    log_to_stream(stream=stream)
    long = "x" * 3 * MOST_CHARACTERS
    try:
        int(long)
    except ValueError:
        logging.getLogger("handrail.x").exception("failed %s", long)
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert "Traceback" in said["trace"]
    assert "characters left out" in said["message"]
    assert len(line) < 4 * MOST_CHARACTERS


def test_levels_below_the_one_asked_for_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANDRAIL_DEBUG", raising=False)
    stream = io.StringIO()
    log_to_stream("warning", stream)
    logging.getLogger("handrail.x").info("too little")
    logging.getLogger("handrail.x").warning("enough")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["enough"]
