"""Common parts of LTTR and CMS: the base class for a known blur, and groups of similar patches."""
