"""The compiled units. Everything here is per key or per byte; nothing here knows a file."""
