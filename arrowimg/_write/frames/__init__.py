"""The dataframe way: methods of Polars frames, registered when both libraries are there."""
