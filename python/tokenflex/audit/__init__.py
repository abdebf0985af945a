"""Audit: which charges need a second look, and why."""
