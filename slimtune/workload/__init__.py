"""What is compressed: datasets, their splits and augmentation, the model zoo, weights files."""
