"""Grafana dashboards, generated from code; not part of the installed package."""
