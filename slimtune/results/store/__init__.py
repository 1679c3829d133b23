"""The run folder on disk: records, locks, hashes; nothing here computes an answer."""
