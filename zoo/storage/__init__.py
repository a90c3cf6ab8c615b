"""Storage: files that are whole after any crash (atomic), and folders with one owner (lock)."""
