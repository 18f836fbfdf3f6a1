"""Frames of other libraries, none of which is imported: as tables, and with our own methods."""
