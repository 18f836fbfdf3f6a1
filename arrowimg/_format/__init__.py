"""What the files look like, byte by byte: names, keys, tar, sidecar, manifest."""
