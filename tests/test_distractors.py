"""How high maps are on the common object and on distractors: by hand, in every output, and by command."""

import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from gconet.evaluation import format_table, score_map
from gconet.evaluation.metrics import measure_response
from gconet.evaluation.scores import format_json, summarise
from gconet.evaluation.tables import DISTRACTOR_COLUMNS as DISTRACTORS
from tests.test_evaluation import load, score


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path)


@pytest.fixture
def responses(tmp_path):
    """maps, gts and distractors, 4x4, of two images of group cat and one, without distractors, of dog."""
    map_ = [[255, 51, 0, 0], [255, 51, 0, 0], [0, 0, 102, 102], [0, 0, 0, 0]]
    empty = [[0] * 4] * 4
    left = [[255, 255, 0, 0], [255, 255, 0, 0], *empty[2:]]  # the map's mean there is 153 / 255 = 0.6
    right = [*empty[:2], [0, 0, 255, 128], [0, 0, 127, 0]]  # 102 / 255 = 0.4 on the pixels of at least 128
    for name, gt, distractors in (
        ("cat/a", left, right),
        ("cat/b", right, [[128, 0, 0, 0], *right[1:]]),  # 0.4; 1 on the only pixel that is not the object's
        ("dog/a", left, empty),
    ):
        save(tmp_path / f"maps/{name}.png", map_)
        save(tmp_path / f"gts/{name}.png", gt)
        save(tmp_path / f"distractors/{name}.png", distractors)
    return tmp_path


def averages(pictures):
    """The figures on distractors of several maps, each with its two masks."""
    scores = [score_map(map_, gt, distractors_u8=others) for map_, gt, others in pictures]
    figures = summarise(scores, convention="toolbox").figures
    return [figures[name] for name in DISTRACTORS]


def test_the_response_by_hand(responses):
    pictures = [
        [load(responses / f"{side}/{name}.png") for side in ("maps", "gts", "distractors")]
        for name in ("cat/a", "cat/b", "dog/a")
    ]
    found = [list(measure_response(*three).values()) for three in pictures]
    assert found[0] == pytest.approx([0.6, 0.4]) and found[1] == pytest.approx([0.4, 1])
    assert found[2] == pytest.approx([0.6, math.nan], nan_ok=True)
    assert averages(pictures) == pytest.approx([1.6 / 3, 0.7, 1.6 / 2.1])
    black = np.array([[[0, 0]], [[255, 0]], [[0, 255]]], np.uint8)
    assert averages([black]) == pytest.approx([0, 0, math.nan], nan_ok=True)


def test_distractors_are_scored_by_image_group_and_set(responses):
    plain = score(responses)
    scores = score(responses, distractors=responses / "distractors")
    assert scores.figures.items() >= plain.figures.items()
    document = json.loads(format_json(scores))
    cat, dog = document["groups"]["cat"], document["groups"]["dog"]

    def figures(one):
        return [one[name] for name in DISTRACTORS]

    assert figures(document) == pytest.approx([1.6 / 3, 0.7, 1.6 / 2.1])  # over images, not groups
    assert figures(cat) == pytest.approx([0.5, 0.7, 0.5 / 0.7])
    assert figures(cat["per_image"]["a"]) == pytest.approx([0.6, 0.4, 1.5])
    assert figures(dog) == figures(dog["per_image"]["a"]) == [pytest.approx(0.6), None, None]
    text = format_table(scores, groups=True).splitlines()
    assert text[1].split()[-3:] == ["on", "off", "on/off"]
    assert [line.split()[-3:] for line in text[2:]] == [
        ["0.533", "0.700", "0.762"], ["0.500", "0.700", "0.714"], ["0.600", "-", "-"],
    ]  # fmt: skip
    for text in (format_table(plain), format_json(plain)):
        assert "on/off" not in text and "on_object" not in text


def test_a_mask_of_distractors_that_does_not_fit_is_named(responses, run):
    sides = [part for side in ("maps", "gts", "distractors") for part in (f"--{side}", responses / side)]
    save(responses / "distractors/cat/b.png", [[0, 255]])
    failed = run("scripts/evaluate.py", *sides, status=1).stderr
    assert "distractors/cat/b.png" in failed and failed.count("\n") == 1
    (responses / "distractors/cat/b.png").unlink()
    failed = run("scripts/evaluate.py", *sides, status=1).stderr
    assert "cat/b" in failed and failed.count("\n") == 1


def test_each_set_has_its_folder_of_distractors_and_each_group_a_row(responses, run):
    given = []
    for side in ("maps", "gts", "distractors"):
        shutil.copytree(responses / side, responses / "sets" / side / "toy")
        given += [f"--{side}", responses / "sets" / side]
    printed = run("scripts/evaluate.py", *given, "--sets", "toy").stdout
    assert "on/off" in printed and "  cat" in printed
