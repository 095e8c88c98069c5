"""The rung "words": a lost text from the tokens that the word index still holds."""

from carma.healing.words.restorer import DIGEST_LEAST, Restored, Restorer

__all__ = ["DIGEST_LEAST", "Restored", "Restorer"]
