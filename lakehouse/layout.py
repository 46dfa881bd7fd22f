"""What the tables of a lake say of themselves: in properties, and by whom. Needs no engine."""

from __future__ import annotations

# Raised when tables of the former layout can no longer be read or written as they are.
VERSION = "1"

LAYOUT = "lakehouse.layout"
# Topic, keys, sequence and partitions of the entity that the table was made for, as JSON.
IDENTITY = "lakehouse.entity"
# Kafka's own id of the topic that bronze was filled from; empty where the broker has no such ids.
TOPIC_ID = "lakehouse.topicId"
# Names the transactions of what a person asked for, each a number: no batch of a stream.
DESK = "lakehouse.desk"
APPEND_ONLY = "delta.appendOnly"
COMMIT_TIMES = "delta.enableInCommitTimestamps"
DELETION_VECTORS = "delta.enableDeletionVectors"
RETENTIONS = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")


def promised(layer: str, time_travel: str) -> dict[str, str]:
    """Return the properties that each table of *layer* has, whichever entity it is of.

    Only silver's rows are ever replaced; every other table is appended to.
    """
    append_only = {} if layer == "silver" else {APPEND_ONLY: "true"}
    return {LAYOUT: VERSION, COMMIT_TIMES: "true", **append_only, **retention(time_travel)}


def retention(time_travel: str) -> dict[str, str]:
    """Return the properties by which versions stay readable for *time_travel*."""
    return dict.fromkeys(RETENTIONS, f"interval {time_travel}")
