"""The verbs of the command line as Python functions, with the same checks and errors.

Users call them as ``slimtune.search``, ``slimtune.compress`` and so on. A function that takes long
shows its progress on standard error, unless ``quiet=True``.
"""
