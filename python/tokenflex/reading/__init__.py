"""From logs and exports to tables."""
