"""What LTTR and CMS share: a given or estimated blur, and groups of similar patches."""
