"""A whole memory in a simulated world: one seed replays one run exactly.

python -m tests.simulation --seeds 100000          # many runs of both atlases
python -m tests.simulation --seed 1234 --atlas in  # one run again, step by step
"""
