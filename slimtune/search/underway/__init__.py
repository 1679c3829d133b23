"""A search UNDERWAY: its baseline, its trials, and the signals that end it."""
