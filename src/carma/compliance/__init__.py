"""What the law asks of whoever keeps memories: to show what is held, to erase it, and to keep nothing too
long.
"""
