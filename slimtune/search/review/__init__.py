"""AFTER a run: one trial or file is run again, verified, evaluated or compared."""
