"""The experiment of `carma prove`: lose fragments of a real memory on purpose, ask on, dream, and report
what was seen.
"""
