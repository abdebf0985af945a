"""Audit: what was charged, held against what should have been."""
