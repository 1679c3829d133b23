"""Networks, weights and data that are handed in as Python objects, under names that can be kept.

What can be imported by name gets that name, ``MODULE:NAME``, and is from then on code like any
other. Everything else, such as what a notebook defines, gets ``object.KEY_DIGEST:NAME``: KEY is
the parameter it was handed in as, DIGEST a name of its content. `slimtune.workload.own_code` knows
it by that while this process lasts, and says how to hand it in again where it does not.
"""
