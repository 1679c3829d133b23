"""BEFORE a run: what can work, what it will cost, and what is refused at once."""
