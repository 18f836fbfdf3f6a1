"""Grids: pictures to be looked at, with words beside them, as HTML."""
