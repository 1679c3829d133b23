"""What every method needs of a network: copies, memory layout, admission, rebuilding."""
