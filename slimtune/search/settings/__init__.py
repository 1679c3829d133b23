"""WHAT was asked: the settings of a search, down to what each trial gets."""
