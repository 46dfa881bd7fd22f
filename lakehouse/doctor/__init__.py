"""What may be wrong with a machine, its Kafka and its lake, found without Spark and a JVM."""
