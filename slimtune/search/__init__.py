"""WHO runs the trials: everything from settings and proposals to executors and finals.

The name ``slimtune.search`` is the function of `slimtune.api.searching`, so import modules of this
package by ``from slimtune.search.x import y``.
"""
