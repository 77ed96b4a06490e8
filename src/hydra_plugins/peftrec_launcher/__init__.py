"""Hydra finds this package by its place below `hydra_plugins`."""
