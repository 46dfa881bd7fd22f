"""The proof: where every message went, computed from the tables."""
