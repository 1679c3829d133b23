"""Who is on the front: dominance, limits, joint measurement, selection, caveats."""
