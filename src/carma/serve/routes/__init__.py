"""The operations over HTTP, by subject. Each turns a request into a call of `Memory`, and nothing more."""
