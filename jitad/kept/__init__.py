"""What is kept on disk, so that a later process need not make it again.

`entries` keeps bytes by name; `graphs` turns graphs into bytes and back; `stamp` tells
what all of it depends on.
"""
