"""Take fingerprints of code, environment and data, and say what differs between two.

May import `records` and what lies below it.
Public names: `fingerprint.fingerprint`, `diagnosis.causes`.
"""
