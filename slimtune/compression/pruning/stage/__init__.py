"""The pruning stage: rank, cut, keep zeros, and the schedules that spread it over epochs."""
