"""WHAT was asked: the settings of a search, with those of each trial."""
