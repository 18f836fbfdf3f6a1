"""What files say of themselves, a module for each format. Nothing is decoded.

Each reader walks a file's structure and returns `Content`: the size of *the* picture, and the parts
of a file that holds this picture and nothing else. Decoders are given that file, so that they see
what was checked and no more: no second size, no animation, no comment, no length beyond the end.
"""
