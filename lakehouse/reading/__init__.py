"""What answers without Spark, in about a second."""
