"""From an architecture to a trained network: the recipe, the loop, what is kept of it, several side by side."""
