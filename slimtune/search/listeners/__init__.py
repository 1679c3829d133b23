"""WHO hears of a search: the status file, the report, experiment trackers."""
