"""Replay, discard and rebuild: what a person asks of the owner of a silver stream."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import owner, pipeline, tables
from lakehouse.entities import from_contents
from lakehouse.errors import ConfigError, TableError
from lakehouse.proof.verify import verify
from lakehouse.reading.positions import Position
from lakehouse.reading.quarantine import Wanted
from lakehouse.reading.rows import ask
from lakehouse.reading.story import of_position
from lakehouse.reading.trace import look, traces
from lakehouse.run import Run
from quarantine import decisions
from silver import desk, rebuild, replay
from tests.conftest import settings_for
from tests.messages import plant, rows, run_once

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config
    from lakehouse.tables import Lake

# Offsets 0 to 7. With a limit of 12 towers 1, 2 and 5 are valid, and 1 is older than 4.
BATCHES: list[list[Any]] = [
    [
        {"match_id": "a", "ingestion_timestamp": 1},
        {"match_id": "b", "ingestion_timestamp": 1, "team_1_towers": 12},
        {"match_id": "c", "ingestion_timestamp": 1, "team_1_towers": 12},
        "junk",
    ],
    [
        {"match_id": "b", "ingestion_timestamp": 2},
        {"match_id": "a", "ingestion_timestamp": 3, "team_1_towers": 12},
        {"match_id": "d", "team_1_towers": 99},
        {"match_id": "a", "ingestion_timestamp": 2},
    ],
]
# Few columns and one rule, since each verb judges by several plans, and each is planned anew.
FILES = {
    "entity.toml": """topic = "esports-matches"
keys = ["match_id"]
sequence_by = "ingestion_timestamp"
partition_by = ["status"]

[derived]
is_completed = "status = 'finished'"
""",
    "schema.ddl": """match_id STRING NOT NULL,
ingestion_timestamp BIGINT,
status STRING,
patch STRING,
team_1_kills INT,
team_1_towers INT
""",
    "expectations.json": json.dumps(
        {
            "name": "matches",
            "expectations": [
                {
                    "type": "expect_column_values_to_be_between",
                    "kwargs": {"column": "team_1_towers", "min_value": 0, "max_value": 11},
                    "severity": "critical",
                    "description": "A map has at most eleven towers for each team to take.",
                    "meta": {"name": "team_1_towers_in_range"},
                }
            ],
        }
    ),
}
MATCHES = from_contents("matches", FILES, "conf/entities/matches")
CLOCKS = {
    "_updated_at",
    "_quarantined_at",
    "_checkpoint",
    "_batch_id",
    "_rules",
    "at",
    "request_id",
}


def mended(matches: Entity, towers: int = 12, **files: str) -> Entity:
    """Return the entity with another limit of towers."""
    suite = matches.contents["expectations.json"].replace(
        '"max_value": 11', f'"max_value": {towers}'
    )
    assert suite != matches.contents["expectations.json"] or towers == 11
    contents = {**matches.contents, "expectations.json": suite, **files}
    return from_contents(matches.name, contents, matches.source)


def asked(verb: str, wanted: Wanted | None = None, **more: Any) -> owner.Request:
    chosen = (wanted or Wanted()).facts
    return owner.request(verb, entity="matches", by="ann", note="why", wanted=chosen, **more)


def serve(spark: SparkSession, config: Config, entity: Entity, *args: Any) -> dict[str, Any]:
    return desk.serve(spark, entity, asked(*args), Run(config))


@pytest.fixture
def matches() -> Entity:
    return MATCHES


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("desk") / "lake"
    for number, values in enumerate(BATCHES):
        plant(spark, Run(settings_for(root)).lake, MATCHES, values, 4 * number)
        run_once(spark, settings_for(root), [MATCHES], "silver")
    return root


def content(spark: SparkSession, lake: Lake, layer: str, name: str = "matches") -> list[str]:
    """Return the rows of a table without what tells when and by which commit they were written."""
    table = lake.table(layer, name)
    if not table.exists(spark):
        return []
    return sorted(
        json.dumps({k: v for k, v in row.items() if k not in CLOCKS}, default=str)
        for row in rows(spark, lake, layer, name)
    )


def versions(spark: SparkSession, lake: Lake) -> list[int]:
    tables = [lake.table(layer, "matches") for layer in ("silver", "quarantine")]
    return [table.version(spark) for table in (*tables, decisions.table(lake, "matches"))]


def fates(spark: SparkSession, matches: Entity, lake: Lake) -> dict[str, int]:
    """Return the fates of all messages, which are proven, as are all commits."""
    found = verify(spark, matches, lake)
    assert found.holds, found.differences
    return {str(fate): n for fate, n in found.proof.counts.items() if n}


def test_what_passes_under_mended_rules_is_released_in_its_order_and_only_once(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    said = serve(spark, config, mended(matches), "replay")

    assert said | {"rules": "", "version": 0} == {
        "rules": "",
        "judged": 5,
        "released": 3,
        "refused_again": 2,
        "reasons": {"not_json": 1, "expectation_failed": 1},
        "judged_before": 0,
        "inserted": 1,
        "updated": 1,
        "version": 0,
    }
    kept = {row["match_id"]: row["_offset"] for row in rows(spark, lake, "silver", "matches")}
    assert kept == {"a": 5, "b": 4, "c": 2}
    assert fates(spark, matches, lake) == {"current": 3, "superseded": 3, "quarantined": 2}
    before = versions(spark, lake)
    again = serve(spark, config, mended(matches), "replay")
    assert (again["judged"], again["judged_before"]) == (0, 2)
    assert versions(spark, lake) == before
    derived = rebuild.preview(spark, mended(matches), asked("rebuild"), Run(config))
    assert counts(derived) == {}
    traced = traces(
        look(config.lake, matches), ask("SELECT * FROM t", t=look(config.lake, matches).bronze)
    )
    assert sorted(one.fate for one in traced) == sorted(
        ["current"] * 3 + ["superseded"] * 3 + ["quarantined"] * 2
    )
    version = lake.table("silver", "matches").version(spark)
    assert f"row        written by version {version} (replay, request 1 of the desk)" in told(
        config, matches, 2
    )


def told(config: Config, matches: Entity, offset: int) -> str:
    """Return what a trace tells people of the message at *offset*."""
    found = of_position(look(config.lake, matches), Position("esports-matches", 0, offset))
    assert isinstance(found, list)
    return repr(found[0])


def counts(derived: dict[str, Any]) -> dict[str, int]:
    """Return the differences of a rebuild that there are."""
    both = {**derived["silver"], **derived["quarantine"]}
    return {kind: n for kind, n in both.items() if kind != "examples" and n}


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


def killed(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, *, before: bool) -> None:
    """Have the process die right before or right after *module* does *name*."""
    real = getattr(module, name)

    def dies(*args: Any, **more: Any) -> None:
        if not before:
            real(*args, **more)
        raise Killed

    monkeypatch.setattr(module, name, dies)


def killed_at(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, call: int) -> None:
    """Have the process die right before *module* does *name* for that time."""
    left = [getattr(module, name)] * (call - 1)

    def dies(*args: Any) -> None:
        if not left:
            raise Killed
        left.pop()(*args)

    monkeypatch.setattr(module, name, dies)


@pytest.fixture(scope="module")
def replayed(
    spark: SparkSession, made: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """What a replay that nobody killed leaves."""
    config = settings_for(tmp_path_factory.mktemp("replayed") / "lake")
    shutil.copytree(made, config.lake.root)
    serve(spark, config, mended(MATCHES), "replay")
    return end(spark, Run(config).lake)


def end(spark: SparkSession, lake: Lake) -> dict[str, list[str]]:
    return {
        "silver": content(spark, lake, "silver"),
        "quarantine": content(spark, lake, "quarantine"),
        "decisions": content(spark, lake, "quarantine", "matches_decisions"),
    }


def test_a_replay_that_is_killed_at_each_point_in_turn_ends_where_one_that_is_not_does(
    spark: SparkSession,
    config: Config,
    matches: Entity,
    lake: Lake,
    replayed: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module, name, before in (
        (replay, "count", True),
        (decisions, "append", True),
        (decisions, "append", False),
        (replay, "merge", True),
        (replay, "merge", False),
    ):
        with monkeypatch.context() as patched:
            killed(patched, module, name, before=before)
            with pytest.raises(Killed):
                serve(spark, config, mended(matches), "replay")
    serve(spark, config, mended(matches), "replay")
    assert end(spark, lake) == replayed
    ended = versions(spark, lake)
    serve(spark, config, mended(matches), "replay")
    assert versions(spark, lake) == ended


def test_what_was_decided_before_a_kill_is_done_by_the_next_start_whatever_its_rules(
    spark: SparkSession,
    config: Config,
    matches: Entity,
    lake: Lake,
    replayed: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        killed(patched, decisions, "append", before=False)
        with pytest.raises(Killed):
            serve(spark, config, mended(matches), "replay")
    # Decided and not yet merged: to the proof these messages are as they were. The rules are
    # changed back meanwhile, and the stream starts: what was decided is decided.
    assert fates(spark, matches, lake) == {"current": 2, "superseded": 1, "quarantined": 5}
    sessions: list[SparkSession] = []

    def released(own: SparkSession, *args: Any) -> dict[str, Any]:
        sessions.append(own)
        return replay.release(own, *args)

    monkeypatch.setattr(desk, "release", released)
    run_once(spark, config, [matches], "silver")
    # In a session of its own: on that of the streams another one could inherit its transaction.
    assert [own is spark for own in sessions] == [False]
    assert end(spark, lake) == replayed


def test_messages_are_chosen_as_the_desk_lists_them(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    wanted = Wanted(reasons=("expectation_failed",), offsets=(5, 6), statuses=("open",))
    said = serve(spark, config, mended(matches), "replay", wanted)
    assert (said["judged"], said["released"]) == (2, 1)
    rules = Wanted(rules=("team_1_towers_in_range",), statuses=("refused again",))
    assert serve(spark, config, mended(matches, 99), "replay", rules)["released"] == 1
    assert serve(spark, config, matches, "replay", Wanted(partition=3))["judged"] == 0
    made = rows(spark, lake, "quarantine", "matches_decisions")
    decided = sorted((row["offset"], row["decision"]) for row in made)
    assert decided == [(5, "released"), (6, "refused again"), (6, "released")]


def test_what_is_discarded_is_neither_replayed_nor_rebuilt_again(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    assert serve(spark, config, matches, "discard", Wanted(offsets=(2, 3))) == {"discarded": 2}
    before = versions(spark, lake)
    assert serve(spark, config, matches, "discard", Wanted(offsets=(2, 3))) == {"discarded": 0}
    assert versions(spark, lake) == before
    said = serve(spark, config, mended(matches), "replay")
    assert (said["judged"], said["released"]) == (3, 2)
    assert counts(serve(spark, config, mended(matches), "rebuild")) == {}
    assert fates(spark, matches, lake) == {
        "current": 2,
        "superseded": 3,
        "quarantined": 1,
        "discarded": 2,
    }


@pytest.mark.usefixtures("lake")
def test_to_discard_judges_nothing_and_leaves_the_rules_of_the_stream_as_they_are(
    spark: SparkSession, config: Config, matches: Entity, tmp_path: Path
) -> None:
    elsewhere = Run(config.model_copy(update={"folder": tmp_path}))  # no rules to be read there
    stream = pipeline.stream_of(spark, elsewhere, matches, "silver")
    said = stream.verbs["discard"](asked("discard", Wanted(offsets=(3, 3))))
    assert said == {"discarded": 1, "reloaded": False}
    with pytest.raises(ConfigError) as refused:
        stream.verbs["replay"](asked("replay"))
    assert refused.value.code == "FILE_MISSING"


def test_a_rebuild_changes_exactly_the_rows_that_it_shows(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    old = content(spark, lake, "silver")
    unchanged = rebuild.preview(spark, matches, asked("rebuild"), Run(config))
    assert counts(unchanged) == {}
    assert unchanged["rows"] == {"silver": 2, "quarantine": 5}
    shown = rebuild.preview(spark, mended(matches), asked("rebuild"), Run(config))
    assert counts(shown) == {"added": 1, "changed": 1, "rescued": 3}
    assert shown["silver"]["examples"]["added"] == [{"where": '{"match_id":"c"}', "columns": []}]
    (changed,) = shown["silver"]["examples"]["changed"]
    assert changed["where"] == '{"match_id":"a"}'
    assert set(changed["columns"]) >= {"ingestion_timestamp", "team_1_towers", "_offset"}
    assert content(spark, lake, "silver") == old
    assert lake.table("silver", "matches").version(spark) == 2

    done = serve(spark, config, mended(matches), "rebuild")
    assert counts(done) == counts(shown)
    assert fates(spark, mended(matches), lake) == {"current": 3, "superseded": 3, "quarantined": 2}
    silver = lake.table("silver", "matches")
    rescued = told(config, matches, 2)
    at = silver.version(spark)
    assert f"row        written by version {at} (rebuild, request 1 of the desk)" in rescued
    assert "verdict    valid, by the rules of that rebuild" in rescued
    assert silver.read(spark, 2).count() == len(old)
    assert lake.table("quarantine", "matches").properties(spark)["delta.appendOnly"] == "true"

    plant(spark, lake, matches, [{"match_id": "e", "team_1_towers": 12}], 8)
    run_once(spark, config, [mended(matches)], "silver")
    back = serve(spark, config, matches, "rebuild")
    assert counts(back) == {"removed": 2, "changed": 1, "newly_refused": 4}
    assert fates(spark, matches, lake) == {"current": 2, "superseded": 1, "quarantined": 6}


def test_what_was_released_and_is_refused_by_a_rebuild_is_open_again(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    serve(spark, config, mended(matches), "replay")
    assert counts(serve(spark, config, matches, "rebuild"))["newly_refused"] == 3
    seen = look(config.lake, matches)
    traced = traces(seen, ask("SELECT * FROM t", t=seen.bronze))
    assert [one.fate for one in traced].count("quarantined") == 5
    assert serve(spark, config, mended(matches), "replay")["released"] == 3
    assert fates(spark, matches, lake) == {"current": 3, "superseded": 3, "quarantined": 2}


@pytest.mark.parametrize("step", [2, 3])
def test_a_rebuild_that_is_killed_is_finished_by_the_next_start(
    spark: SparkSession,
    config: Config,
    matches: Entity,
    lake: Lake,
    replayed: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    """Each step is a change of a property: right after quarantine's overwrite, before silver's."""
    with monkeypatch.context() as patched:
        killed_at(patched, tables, "alter", step)
        with pytest.raises(Killed):
            serve(spark, config, mended(matches), "rebuild")
    if step == 3:  # quarantine is derived anew and silver is not: to the proof all is as it was
        assert fates(spark, matches, lake) == {"current": 2, "superseded": 1, "quarantined": 5}
        run_once(spark, config, [mended(matches)], "silver")
        assert fates(spark, matches, lake) == {"current": 3, "superseded": 3, "quarantined": 2}
    serve(spark, config, mended(matches), "rebuild")
    assert content(spark, lake, "silver") == replayed["silver"]
    assert lake.table("quarantine", "matches").read(spark).count() == 2
    assert lake.table("quarantine", "matches").properties(spark)["delta.appendOnly"] == "true"
    assert not any(Path(lake.root, "_rebuild", "matches").iterdir())


def test_keys_partitions_and_types_change_by_a_rebuild_alone(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    toml = matches.contents["entity.toml"].replace(
        'keys = ["match_id"]', 'keys = ["match_id", "status"]'
    )
    toml = toml.replace('partition_by = ["status"]', 'partition_by = ["patch"]')
    ddl = matches.contents["schema.ddl"].replace("status STRING", "status STRING NOT NULL")
    ddl = ddl.replace("team_1_kills INT", "team_1_kills LONG")
    other = mended(matches, 12, **{"entity.toml": toml, "schema.ddl": ddl})
    with pytest.raises(TableError) as refused:
        run_once(spark, config, [other], "silver")
    assert refused.value.code in {"ENTITY_CONFLICT", "SCHEMA_CONFLICT"}
    assert "lakehouse rebuild silver" in refused.value.message.cure

    done = serve(spark, config, other, "rebuild")
    assert counts(done)["newly_refused"] == 3
    plant(spark, lake, matches, [{"match_id": "e", "status": "live", "team_1_kills": 2**40}], 8)
    run_once(spark, config, [other], "silver")
    assert fates(spark, other, lake) == {"current": 1, "quarantined": 8}
    assert lake.table("silver", "matches").delta(spark).detail().collect()[0][
        "partitionColumns"
    ] == ["patch"]


def test_a_decision_that_is_tampered_with_is_found(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    serve(spark, config, mended(matches), "replay")
    path = decisions.table(lake, "matches").path
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.appendOnly' = 'false')")
    spark.sql(f"DELETE FROM delta.`{path}` WHERE offset = 2")
    found = verify(spark, matches, lake)
    assert not found.holds
    said = "\n".join(found.differences)
    assert "esports-matches:0:2 has several fates" in said
    assert "it says 3 released, and there are 2 decisions" in said


def test_a_rebuild_of_another_topic_is_refused(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    toml = matches.contents["entity.toml"].replace("esports-matches", "esports-others")
    other = mended(matches, 11, **{"entity.toml": toml})
    with pytest.raises(TableError) as refused:
        serve(spark, config, other, "rebuild")
    assert (refused.value.code, refused.value.params["key"]) == ("ENTITY_CONFLICT", "topic")
    assert not Path(lake.root, "_rebuild").exists()
