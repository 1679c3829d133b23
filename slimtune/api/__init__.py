"""The verbs of the command line as Python functions: the same work, checks and errors.

What takes long shows how far it is; ``quiet=True`` shows nothing. Users call these functions as
``slimtune.search``, ``slimtune.compress`` and so on.
"""
