"""The RGB guide as cameras deliver it: tone curve, saturation and noise, found and undone before a method sees it."""
