"""Tables of scores: text, Markdown and JSON, of one or several methods and sets."""

import json

import numpy as np
import pytest

from gconet.evaluation import format_table, score_folders
from gconet.evaluation.scores import format_json
from gconet.evaluation.tables import published_results
from tests.test_evaluation import folders, score, write_pair  # noqa: F401


def test_published_rows_stand_in_the_table(folders):  # noqa: F811
    scores = score_folders(folders / "maps", folders / "gts", dataset="coca")
    row = next(line for line in format_table(scores).splitlines() if line.startswith("GCoNet (CVPR 2021)"))
    assert row.split()[-4:] == ["0.760", "0.673", "0.544", "0.105"]  # max E, S, max F, MAE: Table 2
    assert "GCoNet" not in format_table(score(folders, dataset="train"))
    for dataset in ("CoCA", "CoSOD3k", "Cosal2015"):
        assert len(published_results(dataset)) == 18


def test_the_table_in_its_styles(folders):  # noqa: F811
    scores = score_folders(folders / "maps", folders / "gts", method="my_maps", dataset="toy")
    figures = [f"{scores.figures[name]:.3f}" for name in ("max_e", "s_measure", "max_f", "mae")]
    text = format_table(scores, groups=True).splitlines()
    assert text[0] == "toy, toolbox convention"
    assert text[2].split()[:6] == ["my_maps", "4", *figures]
    assert [line.split()[:2] for line in text[3:]] == [["cat", "3"], ["dog", "1"]]
    header, rule, row = format_table(scores, markdown=True).splitlines()[2:]
    assert header.count("|") == rule.count("|") == row.count("|") == 15
    assert row.startswith(f"| my_maps | 4 | {' | '.join(figures)} |")
    text = format_table(scores).splitlines()
    assert text[1].split()[-4:] == ["P@.5", "J@.5", "P@ad", "J@ad"]
    assert text[2].split()[-3] == f"{scores.figures['j_half']:.3f}"


def test_json_holds_sets_groups_and_images(folders):  # noqa: F811
    document = json.loads(format_json(score(folders)))
    keys = {"images", "mae", "max_f", "mean_f", "max_e", "mean_e", "s_measure", "ap", "auc"}
    assert keys <= document.keys()
    assert keys <= document["groups"]["cat"].keys()
    cats = document["groups"]["cat"]["per_image"]
    assert [*cats] == ["a", "b", "c"] and [*document["groups"]] == ["cat", "dog"]
    maes = [one["mae"] for group in document["groups"].values() for one in group["per_image"].values()]
    assert document["mae"] == pytest.approx(np.mean(maes))
    assert {len(curve) for curve in document["curves"].values()} == {255}
    assert document["max_f"] == max(document["curves"]["f"])
    assert len(json.loads(format_json(score(folders), score(folders)))["results"]) == 2


def test_command_scores_several_methods_on_several_sets(folders, run):  # noqa: F811
    for kind in ("maps", "gts"):
        (folders / kind).rename(folders / "sub")
        (folders / kind).mkdir()
        (folders / "sub").rename(folders / kind / "CoCA")
    write_pair(folders, "other/cow/a", 5)
    maps, gts, out = folders / "maps", folders / "gts", folders / "all.json"
    sets = ["--sets", "CoCA,other", "--gts", gts, "--json", out]
    run("scripts/evaluate.py", "--maps", f"one={maps}", "--maps", f"two={maps}", *sets)
    results = json.loads(out.read_text())["results"]
    assert [(one["method"], one["set"], one["images"]) for one in results] == [
        ("one", "CoCA", 4), ("two", "CoCA", 4), ("one", "other", 1), ("two", "other", 1),
    ]  # fmt: skip
    twice = run("scripts/evaluate.py", "--maps", maps, "--maps", maps, *sets, "--overwrite", status=2)
    assert "NAME=DIR" in twice.stderr
