"""From an architecture to a trained network: the recipe, the loop, its files, several trainings side by side."""
