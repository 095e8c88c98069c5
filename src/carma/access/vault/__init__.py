"""The vault: data keys, the key that wraps them, and files sealed for recipients."""
