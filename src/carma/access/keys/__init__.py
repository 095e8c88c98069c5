"""Keys: how they read, where they are kept, how attempts are signed and admitted."""
