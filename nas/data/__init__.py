"""Data that are read: images and trained accuracies."""
