"""The vector index: exact for small memories, trained for large ones, always up to date.

    VectorIndex (index.py)
    ├── FlatPart     (flat.py)     float32, scanned exactly: everything while small, later only what is recent
    └── TrainedPart  (trained.py)  inverted lists + product codes (FAISS), re-ranked with float16 vectors

`plan.py` chooses the parameters, `train.py` builds a trained part, `file.py` keeps it between two openings,
`scan.py` holds the exact scan and the threads of batches.
"""

from carma.search.vectorindex.file import Loaded
from carma.search.vectorindex.index import VectorIndex

__all__ = ["Loaded", "VectorIndex"]
