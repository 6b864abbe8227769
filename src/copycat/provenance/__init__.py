"""Take fingerprints of code, environment and data, and diagnose why two runs differ.

May import `records` and what lies below it.
Public names: `fingerprint.fingerprint`, `diagnosis.diagnose`.
"""
