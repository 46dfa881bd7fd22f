"""Bronze: every Kafka record, as it came, exactly once."""
