"""The command line: `carma VERB …`. It translates; every verb ends in one call of `Memory`.

    app ─▶ reading, finding, writing, moving, health, demo ─▶ Memory
             │ output: JSON, terminal or pipe, decided in one place
             └ failure: from exceptions to exit codes and problem details

Importing it loads neither NumPy nor FAISS nor a model; a verb loads what it needs.
"""
