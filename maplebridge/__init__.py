"""Maple Bridge."""
