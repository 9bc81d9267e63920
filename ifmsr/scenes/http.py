"""Resumable download of one file over HTTP."""

from pathlib import Path

from tqdm.auto import tqdm

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.files import make_folder, move, writing

require("requests")
import requests  # noqa: E402 - after the check

BLOCK = 1 << 16  # bytes; a broken download loses at most one block


def download(url: str, target: Path) -> None:
    """Download `url` to `target`, resuming an earlier download from `<target>.part`.

    Raises
    ------
    InputError : the server cannot be reached, refuses, or breaks off; the received part is kept.
    """
    make_folder(target.parent)
    part = target.with_name(target.name + ".part")
    try:
        _download_rest(url, part)
    except requests.RequestException as error:
        raise InputError(
            url,
            f"the download failed ({_reason(error)})",
            "Run the command again to go on where it stopped, or download that address by hand and put it at "
            f"{target}, or put the unpacked folder at {target.with_suffix('')}",
        ) from error
    except OSError:
        with writing(part, "What has arrived is kept"):
            raise
    move(part, target)


def _download_rest(url: str, part: Path) -> None:
    """Append the missing bytes of `url` to `part`; start again if the server does not support that."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={done}-", "Accept-Encoding": "identity"}
    with requests.get(url, headers=headers, stream=True, timeout=(15, 60)) as answer:
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        if answer.status_code == requests.codes.requested_range_not_satisfiable and done:
            if total == str(done):
                return
            part.unlink()
            raise requests.RequestException("the earlier part does not fit the file at the server")
        answer.raise_for_status()
        continues = answer.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        if answer.status_code != requests.codes.partial_content or not continues:
            done = 0
        size = done + int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
        bar = tqdm(total=size, initial=done, unit="B", unit_scale=True, desc=f"downloading {part.stem}")
        with part.open("ab" if done else "wb") as file, bar:
            for block in answer.iter_content(BLOCK):
                file.write(block)
                bar.update(len(block))
    if size is not None and part.stat().st_size != size:
        raise requests.RequestException(f"{part.stat().st_size} of {size} bytes arrived")


def _reason(error: requests.RequestException) -> str:
    """A short description of a network error."""
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    return str(error)
