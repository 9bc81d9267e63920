"""Optional packages: which extra of the installation brings each, and one clear sentence where one is missing."""

from importlib.util import find_spec

from ifmsr.errors import InputError

EXTRAS = {
    "study": ("filelock", "pandas", "jinja2", "matplotlib", "tensorly", "requests", "yaml"),
    "geo": ("h5py", "rasterio", "spectral", "xarray"),
    "viewer": ("anywidget",),
    "notebooks": ("ipykernel", "jupyter_client", "nbclient", "nbformat", "papermill", "traitlets"),
}
"""extra -> the packages of it that ifmsr imports, by the names that it imports them by."""


class MissingExtra(InputError, ImportError):
    """An optional package is needed and not installed; the message says the `pip install` line."""


def require(*packages: str) -> None:
    """Raise MissingExtra, naming the extra that brings it, unless each of these `packages` of `EXTRAS` is installed."""
    for package in packages:
        if find_spec(package) is None:
            extra = next(extra for extra, content in EXTRAS.items() if package in content)
            raise MissingExtra(
                package, "this package is not installed", f'Install it: pip install "ifmsr[{extra}]"'
            )


def missing(extra: str) -> list[str]:
    """The packages of an extra that are not installed."""
    return [package for package in EXTRAS[extra] if find_spec(package) is None]
