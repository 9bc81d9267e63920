"""IFMSR's fast path: whole images in strips, any size in any memory."""
