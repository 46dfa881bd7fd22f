"""The log has one line per event, for people and for programs, whatever a message may hold."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from lakehouse import log

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = {
    "newline": "a\nb",
    "return": "a\rb",
    "colour": "a\x1b[31mb",
    "bell": "a\x07b",
    "null": "a\x00b",
    "next line": "a\x85b",
    "control sequence": "a\x9b2Jb",
    "delete": "a\x7fb",
    "line separator": "a\u2028b",
    "right to left": "a\u202eb",
    "mark of a direction": "a\u200fb",
    "Arabic mark": "a\u061cb",
}


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    layers = [logging.getLogger(name) for name in ("lakehouse", "bronze", "silver", "quarantine")]
    before = root.handlers[:], root.level, [layer.level for layer in layers]
    yield
    root.handlers[:], root.level = before[0], before[1]
    for layer, level in zip(layers, before[2], strict=True):
        layer.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines that were logged; as a terminal or a program would split them."""
    return capsys.readouterr().err.splitlines()


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the objects that were logged, read as strictly as any program would."""

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in lines(capsys)]


def merged() -> None:
    """Log the end of a batch."""
    log.get("silver.matches").info(
        "Batch 15 merged", batch_id=15, record_count=200, topic="esports-matches"
    )


def test_a_line_for_people_has_time_stream_level_event_and_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.set_up(level="info", style="text")
    merged()

    (line,) = lines(capsys)

    time, rest = line[:19], line[19:]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", time)
    assert rest == (
        " | silver.matches | INFO | Batch 15 merged"
        " | batch_id=15 | record_count=200 | topic=esports-matches"
    )


def test_a_line_for_programs_has_the_same_as_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="info", style="json")
    merged()

    (found,) = objects(capsys)

    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found.pop("timestamp"))
    assert found == {
        "logger": "silver.matches",
        "level": "info",
        "event": "Batch 15 merged",
        "batch_id": 15,
        "record_count": 200,
        "topic": "esports-matches",
    }


def test_lists_and_objects_stand_as_json_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="info", style="text")
    log.get("silver.matches").info("E", reasons={"not_json": 2}, keys=["ä"], none=None, off=False)

    (line,) = lines(capsys)

    assert line.endswith('| E | reasons={"not_json": 2} | keys=["ä"] | none=None | off=False')


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_a_message_holds_a_line_stays_one_and_plain(
    capsys: pytest.CaptureFixture[str], style: str, text: str
) -> None:
    log.set_up(level="info", style=style)
    log.get("silver.matches").info(text, value=text, many=[text], inner={text: text})

    written = capsys.readouterr().err

    assert len(written.splitlines()) == 1
    assert written.removesuffix("\n").isprintable()


def test_what_is_written_out_can_still_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="info", style="text")
    log.get("silver.matches").info("E", value="a\n\x1b[31m\u2028b", plain="é|日本 \\n")

    assert lines(capsys)[0].endswith(r"E | value=a\x0a\x1b[31m\u2028b | plain=é|日本 \n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_lacks_is_named(
    capsys: pytest.CaptureFixture[str], value: float
) -> None:
    log.set_up(level="info", style="json")
    log.get("silver.matches").info("E", rate=value, inner={"rates": [value, 1.5]})

    (found,) = objects(capsys)

    assert found["rate"] == str(value)
    assert found["inner"] == {"rates": [str(value), 1.5]}


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(("level", "count"), [("info", 0), ("debug", 1)])
def test_debug_lines_show_at_level_debug_only(
    capsys: pytest.CaptureFixture[str], style: str, level: str, count: int
) -> None:
    log.set_up(level=level, style=style)
    log.get("silver.matches").debug("Sample", value="x")

    assert len(lines(capsys)) == count


def test_debug_lines_of_libraries_never_show(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="debug", style="text")
    logging.getLogger("py4j.clientserver").error("lost")
    logging.getLogger("library").info("chatter")

    assert lines(capsys) == []


def fail(message: str) -> None:
    raise ValueError(message)


def log_failure(name: str, message: str, *, foreign: bool) -> None:
    """Log an exception of that *message*, through our logger or the standard library's."""
    try:
        fail(message)
    except ValueError:
        if foreign:
            logging.getLogger(name).exception("Failed")
        else:
            log.get(name).exception("Failed", batch_id=3)


@pytest.mark.parametrize("foreign", [False, True])
def test_an_exception_is_logged_with_its_trace(
    capsys: pytest.CaptureFixture[str], *, foreign: bool
) -> None:
    log.set_up(level="info", style="text")
    log_failure("silver.matches", "went wrong", foreign=foreign)

    first, *trace = lines(capsys)

    assert first[19:] == f" | silver.matches | ERROR | Failed{'' if foreign else ' | batch_id=3'}"
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ValueError: went wrong"


@pytest.mark.parametrize("foreign", [False, True])
def test_an_exception_for_programs_is_in_the_same_object(
    capsys: pytest.CaptureFixture[str], *, foreign: bool
) -> None:
    log.set_up(level="info", style="json")
    log_failure("silver.matches", "went\nwrong", foreign=foreign)

    (found,) = objects(capsys)

    assert (found["event"], found["level"]) == ("Failed", "error")
    assert found["exception"].endswith("ValueError: went\nwrong")


def test_a_trace_cannot_drive_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="info", style="text")
    log_failure("silver.matches", "a\x1b[31m\x07b", foreign=False)

    trace = lines(capsys)

    assert all(line.isprintable() for line in trace)
    assert trace[-1] == r"ValueError: a\x1b[31m\x07b"


def test_a_line_of_a_library_looks_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="info", style="text")
    logging.getLogger("library.part").warning("%s of %d\n", "one", 2)

    (line,) = lines(capsys)

    assert line[19:] == r" | library.part | WARNING | one of 2\x0a"


def test_a_line_of_a_library_is_an_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="info", style="json")
    logging.getLogger("library.part").warning("%s of %d", "one", 2)

    (found,) = objects(capsys)

    assert set(found) == {"timestamp", "logger", "level", "event"}
    assert (found["logger"], found["event"]) == ("library.part", "one of 2")


def test_setting_up_again_replaces_the_style(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="info", style="text")
    log.set_up(level="info", style="json")
    merged()

    assert len(objects(capsys)) == 1


def test_nothing_is_logged_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(level="debug", style="text")
    merged()
    log_failure("silver.matches", "x", foreign=False)

    captured = capsys.readouterr()

    assert captured.out == ""
    assert captured.err
