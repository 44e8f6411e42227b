"""Writes the sample data: prose from templates and facts, pairs of sentences in GLUE's layout, a vocabulary."""
