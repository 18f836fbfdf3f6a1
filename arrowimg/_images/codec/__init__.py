"""The one door to OpenCV and Pillow: pixels to JPEG and PNG bytes, files to pixels.

`opencv.encode_jpegs` and `png.encode_pngs` encode; `decode.decode_image` and `decode.decode_rgb`
decode. Pillow is imported when a file is decoded, not before.
"""
