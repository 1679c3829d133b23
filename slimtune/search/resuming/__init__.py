"""What a run goes on with: its settings, its limits, and what is set aside."""
