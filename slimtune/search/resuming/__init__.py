"""RESUMING a run: its settings, its limits, and the damaged files that are set aside."""
