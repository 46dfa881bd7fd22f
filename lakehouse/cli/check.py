"""`lakehouse check`."""

from __future__ import annotations

import click

from lakehouse.cli.output import json_option, show


@click.command()
@json_option
@click.pass_context
def check(ctx: click.Context, *, as_json: bool) -> None:
    """Validate the whole configuration; needs no Kafka and writes nothing.

    Settings, Kafka and Spark options, every entity's schema, keys, derived columns and
    expectations: the last two are analysed in a local Spark session, so an unknown column in an
    expression is found.

    Example: `lakehouse --env prod check`

    JSON: `{ok, entities: [{name, topic, keys, columns, derived, expectations, rules}]}`; `columns`
    and `expectations` are counted, `rules` is the fingerprint that records name.
    """
    from lakehouse import entities, log
    from lakehouse.config import load

    config = load(ctx.obj["conf"], ctx.obj["env"])
    log.set_up(level=config.log.level, style=config.log.format)
    chosen = entities.load_all(ctx.obj["conf"])

    from lakehouse import destinations, kafka, schemas, session
    from lakehouse.audit import conditions

    kafka.client_options(config.kafka)
    destinations.read(config.alarms)
    spark = session.start(
        config.model_copy(update={"spark": config.spark.model_copy(update={"master": "local[1]"})})
    )
    try:
        columns = {entity.name: schemas.columns(spark, entity) for entity in chosen}
        rules = {entity.name: conditions.check(spark, entity) for entity in chosen}
    finally:
        session.stop(spark)
    facts = [
        {
            "name": entity.name,
            "topic": entity.topic,
            "keys": entity.keys,
            "columns": len(columns[entity.name]),
            "derived": sorted(entity.derived),
            "expectations": len(rules[entity.name]),
            "rules": entity.fingerprint,
        }
        for entity in chosen
    ]
    lines = [
        f"{entity.name}: topic {entity.topic}, key {', '.join(entity.keys)}, "
        f"{len(columns[entity.name])} columns of which {len(entity.derived)} derived, "
        f"{len(rules[entity.name])} expectations, rules {entity.fingerprint}"
        for entity in chosen
    ]
    show(
        {"ok": True, "entities": facts},
        "\n".join([*lines, "the configuration is sound"]),
        as_json=as_json,
    )
