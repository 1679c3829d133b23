"""Read config files and typed settings, strictly."""
