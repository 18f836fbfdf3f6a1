"""Tars as anybody writes them: headers, members, and the samples that members make.

`walk` goes through a tar once, a window at a time; `headers` reads many headers at once, `extended`
one by one what PAX and GNU tar add to them; `samples` groups members as webdataset does.
"""
