"""WHO hears of a search: the status file, the report and experiment trackers."""
