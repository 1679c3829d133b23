"""The process that a trial runs in: its device, its memory, its time."""
