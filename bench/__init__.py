"""Measurements: each prints its figures."""
