"""From float weights to integers, without training."""
