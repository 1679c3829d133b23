"""Networks, weights and data that are handed in as Python objects get a name for settings.

An object that can be imported gets the name ``MODULE:NAME`` and is treated as code like any other.
Every other object, such as one defined in a notebook, gets ``object.KEY_DIGEST:NAME``: KEY is the
parameter it was handed in as, DIGEST a digest of its content. `slimtune.workload.own_code` keeps
the object while this process lasts. In another process it says how to hand the object in again.
"""
