"""What the files look like, byte by byte: names, keys, tar, sidecar, manifest.

Knows no file system: bytes are handed to whoever stores them. `names` says what each file is called
and what a file is by its name, `keys` how ids become names of members; `tar_writer` and
`tar_reader`, `sidecar` and `manifest` are the files themselves; `samples` are rows on their way
into a tar, `members` what is beside a picture in it, and `layout` where it all is, computed from a
sidecar. Imports `errors` and `_core`.
"""
