"""Who runs the trials: `run_trial`, the sampler's glue, the executors.

``slimtune.search`` as a user calls it is the function of `slimtune.api.searching`: import what is
in here by ``from slimtune.search.x import y``.
"""
