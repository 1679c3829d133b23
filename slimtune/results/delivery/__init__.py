"""What leaves a run: one member as a folder with its card and a script."""
