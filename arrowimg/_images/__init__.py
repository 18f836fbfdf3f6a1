"""What a picture is, and how it becomes JPEG.

The way of a picture: `columns.image_runs` finds it in a table, `check.check_run` checks it against
the contract of `pixels`, `encode.encode_run` makes JPEG of it. Others use these, `batch`, `options`
and `identity`; only `codec` knows OpenCV and Pillow, and
`formats` knows what files say of themselves. Imports `errors` and `_core`.
"""
