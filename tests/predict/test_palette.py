"""The ribbon's colours, against what the literature says of colour vision."""

import itertools
import re
from importlib import resources

import numpy as np
import pytest

SOURCE = resources.files("genreline.predict").joinpath("palette.js").read_text(encoding="utf-8")
LEAST_DISTANCE = 26
LEAST_CONTRAST = 3  # WCAG 2.2, 1.4.11
SEEN = {  # linear RGB as it appears; Machado, Oliveira and Fernandes 2009, severity 1.0
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def colours():
    looks = dict(re.findall(r'^  (\w+): \{ colour: "(#\w{6})", pattern: "\w+" \}', SOURCE, re.MULTILINE))
    return {name: linear(colour) for name, colour in looks.items()}


def linear(colour):
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def luminance(rgb):
    return float(rgb @ [0.2126, 0.7152, 0.0722])


def lab(rgb):
    """CIE Lab under D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    ratio = xyz / [0.9505, 1, 1.089]
    root = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("vision", SEEN)
def test_genres_are_told_apart_by_colour(vision):
    seen = {name: lab(np.clip(np.array(SEEN[vision]) @ rgb, 0, 1)) for name, rgb in colours().items()}
    assert len(seen) == 8
    for first, second in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[first] - seen[second]) >= LEAST_DISTANCE, (first, second)


def test_genres_are_told_apart_without_colour():
    patterns = re.findall(r'^  \w+: \{ colour: "#\w{6}", pattern: "(\w+)" \}', SOURCE, re.MULTILINE)
    assert len(set(patterns)) == len(patterns) == 8


def test_genres_stand_out_from_the_stage():
    stage = luminance(linear(re.search(r'STAGE = "(#\w{6})"', SOURCE)[1]))
    for name, rgb in colours().items():
        assert (luminance(rgb) + 0.05) / (stage + 0.05) >= LEAST_CONTRAST, name
