"""The Pi and UML mathematics of the first texts: real, tested, visible. It bears no security."""
