"""Deliver a member of a run: a folder with its model, its card and a script."""
