"""Architectures -> scores."""
