"""The recorded origin of the committed results is correct."""

import json
import subprocess

import pytest

from ifmsr.paths import RESULTS, ROOT, WEIGHTS

CARDS = sorted(WEIGHTS.glob("*.json"))


def git(*arguments):
    """What git prints, or a skip where there is no history to ask."""
    try:
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no git history here ({error})")
    return done.stdout.split()


def test_every_run_was_made_by_a_commit_of_the_history():
    if git("rev-parse", "--is-shallow-repository") == ["true"]:
        pytest.skip("a shallow clone has no history")
    history, unknown = set(git("rev-list", "HEAD")), {}
    for path in [*git("ls-files", "--", "results/*manifest.json"), *CARDS]:
        made = json.loads((ROOT / path).read_text())["git"]
        if made["commit"] not in history or made["dirty"]:
            unknown[str(path)] = made
    assert unknown == {}


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem)
def test_a_card_says_which_weights_its_training_started_from(card):
    content = json.loads(card.read_text())
    training = content["training"]
    assert ("start_sha256" in training) == bool(training["start"])
    if training["start"]:
        own = {content["sha256"], content.get("sha256_as_trained_in_float32")}
        assert len(training["start_sha256"]) == 64 and training["start_sha256"] not in own


def test_a_start_that_a_training_in_results_left_is_that_one():
    """Weights that are not kept in the repository are known by the manifest of the training that left them."""
    left = {
        json.loads(path.read_text())["files"].get("weights.safetensors")
        for path in RESULTS.rglob("manifest.json")
    }
    starts = {json.loads(card.read_text())["training"].get("start_sha256") for card in CARDS} - {None}
    assert starts <= left
