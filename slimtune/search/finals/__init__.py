"""The few members of the front that run again at full length, and the joint measurement."""
