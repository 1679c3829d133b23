"""Fake quantizers for training, and the plain layers that the file computes."""
