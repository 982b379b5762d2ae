"""Measurements, each a command, `python -m benchmarks.NAME --help`; README.md has the method."""
