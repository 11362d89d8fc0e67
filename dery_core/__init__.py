"""DeRy Studio's engine: cut trained networks into blocks and reassemble them under a budget."""

__version__ = "0.1.0"
