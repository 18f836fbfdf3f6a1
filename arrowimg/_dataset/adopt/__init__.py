"""Adopt: sidecars for tars that others wrote.

`find` says which tars are meant, `rows` what is in one of them, `columns`, `documents` and `beside`
what is said of its pictures; `widen` makes one schema of those of all tars, and `adopt` is the
public operation. Others use `adopt.adopt`, and `find`, `rows` and `columns` to read tars.
"""
