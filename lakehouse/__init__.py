"""Lakehouse: Kafka to bronze, silver and quarantine in Delta Lake, each message with one fate."""

__version__ = "0.1.0"
