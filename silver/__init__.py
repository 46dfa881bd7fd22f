"""Silver: the newest valid row of each key."""
