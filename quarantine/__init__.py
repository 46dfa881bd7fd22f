"""Quarantine: what could not become a row, as it came, with every reason."""
