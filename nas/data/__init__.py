"""What is read: images and trained accuracies."""
