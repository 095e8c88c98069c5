"""Healing: what is lost is noticed, named, and rebuilt: bit for bit where it can be, else from meaning."""
