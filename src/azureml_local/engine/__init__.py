"""Runs pipelines: what they come down to, in which order, in which processes, and what stands for what."""
