"""`Client` and `AsyncClient`: the verbs of `Memory` over HTTP.

    verbs ─▶ core (signs, repeats, reads problems) ─▶ one driver for httpx.Client, one for httpx.AsyncClient

The core does no input and output: it is a generator that hands out requests and is given answers.
"""
