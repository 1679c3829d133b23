"""Which recipes a search may propose: the space on one screen, and the presets."""
