"""A search UNDERWAY: its baseline, its trials, and what ends it early."""
