"""Compose overrides into one validated configuration, and instantiate its targets.

Imports nothing of Copycat.
Public names: `compose.compose`, `errors.UserError`.
"""
