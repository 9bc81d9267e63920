"""Optional packages: the extra of the installation that contains each, and the error if one is missing."""

from importlib.util import find_spec

from ifmsr.errors import InputError

EXTRAS = {
    "study": ("filelock", "pandas", "jinja2", "matplotlib", "tensorly", "requests", "yaml"),
    "geo": ("h5netcdf", "h5py", "rasterio", "spectral", "xarray"),
    "large": ("dask", "zarr"),
    "completion": ("argcomplete",),
    "viewer": ("anywidget",),
    "notebooks": ("ipykernel", "jupyter_client", "nbclient", "nbformat", "papermill", "traitlets"),
}
"""Extra -> its packages that ifmsr imports, by their import names."""


class MissingExtra(InputError, ImportError):
    """Error for an optional package that is not installed; the message has the `pip install` command."""


def require(*packages: str) -> None:
    """Raise MissingExtra, naming its extra, if one of these `packages` of `EXTRAS` is not installed."""
    for package in packages:
        if find_spec(package) is None:
            extra = next(extra for extra, content in EXTRAS.items() if package in content)
            raise MissingExtra(
                package, "this package is not installed", f'Install it: pip install "ifmsr[{extra}]"'
            )


def missing(extra: str) -> list[str]:
    """The packages of an extra that are not installed."""
    return [package for package in EXTRAS[extra] if find_spec(package) is None]
