"""The rules a batch was judged by, kept by content, so that any batch can be judged again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse import entities, storage
from lakehouse.audit.records import records
from lakehouse.entities import FILES, PARSER_VERSION
from lakehouse.errors import TableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.checkpoints import Checkpoint
    from lakehouse.entities import Entity
    from lakehouse.tables import Lake


def archive(spark: SparkSession, entity: Entity, lake: Lake) -> None:
    """Keep *entity*'s folder and the parser's version under `_rules/<fingerprint>/`.

    Stored by content before first use; what is there already is the same and stays.
    """
    folder = lake.rules(entity.fingerprint)
    for name, text in entity.contents.items():
        storage.write_once(spark, f"{folder}/{name}", text)
    files = list(entity.contents)
    about = {"entity": entity.name, "parser_version": PARSER_VERSION, "files": files}
    storage.write_once(spark, f"{folder}/rules.json", json.dumps(about))


def recall(spark: SparkSession, fingerprint: str, lake: Lake) -> Entity:
    """Return the entity as the rules of that *fingerprint* had it.

    Raises:
        TableError: RULES_UNAVAILABLE when they are not in the lake, or are another parser's.
    """
    folder = lake.rules(fingerprint)
    text = storage.read(spark, f"{folder}/rules.json")
    about = json.loads(text) if text else {}
    names = about.get("files", FILES)
    texts = {name: storage.read(spark, f"{folder}/{name}") for name in names}
    texts["rules.json"] = text
    missing = [name for name, text in texts.items() if text is None]
    if missing:
        reason = f"{folder}/{missing[0]} is not there"
        raise TableError("RULES_UNAVAILABLE", rules=fingerprint, reason=reason)
    if about["parser_version"] != PARSER_VERSION:
        reason = f"they need parser {about['parser_version']}, and this is {PARSER_VERSION}"
        raise TableError("RULES_UNAVAILABLE", rules=fingerprint, reason=reason)
    contents = {name: str(texts[name]) for name in names}
    return entities.from_contents(about["entity"], contents, folder)


@dataclass(frozen=True)
class Unfinished:
    """The batch a crash or a stop left between its first write and its end.

    `merged`: silver already holds it, so nothing is left to do. Otherwise it is to be done under
    the rules of `entity`; `changed` where these are not those of today.
    """

    batch_id: int
    entity: Entity
    merged: bool
    changed: bool = False


def unfinished(
    spark: SparkSession, entity: Entity, lake: Lake, checkpoint: Checkpoint | None
) -> Unfinished | None:
    """Return the batch that *checkpoint* planned and did not see to its end, if there is one.

    A batch whose quarantine commit exists is finished under the rules that commit names, even if
    the rules have changed since: else a row could be in both tables, or in neither. Any other
    batch has written nothing yet and follows the rules of today.
    """
    if checkpoint is None or checkpoint.unfinished is None:
        return None
    silver, quarantine = (lake.table(layer, entity.name) for layer in ("silver", "quarantine"))
    batch_id = checkpoint.unfinished
    merged = silver.transactions(spark).get(checkpoint.id) == batch_id
    if quarantine.transactions(spark).get(checkpoint.id) == batch_id:
        for _, record in reversed(records(spark, quarantine)):
            if (record.get("checkpoint"), record.get("batch_id")) == (checkpoint.id, batch_id):
                own = recall(spark, record["rules"], lake)
                changed = own.fingerprint != entity.fingerprint
                return Unfinished(batch_id, own, merged, changed)
    return Unfinished(batch_id, entity, merged)
