"""Who takes part: one module each, imported in an interpreter of its own.

Each has `versions()`, a dictionary of package to version, and `prepare(case)`, which
builds what the case asks for and returns a function without arguments that does the
work once and comes back when it is done. A case is the dictionary of a `cases.Case`.
"""
