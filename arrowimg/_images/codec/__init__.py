"""The one door to OpenCV and Pillow: pixels to JPEG bytes, and encoded files to pixels.

`opencv.encode_jpegs` encodes; `decode.decode_image` and `decode.decode_rgb` decode. Pillow is
imported when a file is decoded, not before.
"""
