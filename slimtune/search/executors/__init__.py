"""WHERE trials run: in this process or on Ray; Ray's only door."""
