"""The options of the verbs that need torch, in files of their own: their help needs no torch."""
