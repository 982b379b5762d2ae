"""OpenSIPS scripts: source, syntax, translation."""
