"""The process in which a trial runs: its device, its memory and its time limit."""
