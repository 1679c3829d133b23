"""Finals: the members of the front run again at full length. And the joint measurement."""
