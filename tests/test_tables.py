"""Tables of scores: text, Markdown, LaTeX and JSON, of one or several methods and sets."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from gconet.evaluation import format_table, score_folders
from gconet.evaluation.latex import mark
from gconet.evaluation.published import published_results
from gconet.evaluation.scores import format_json
from tests.test_evaluation import folders, score, write_pair  # noqa: F401


def test_published_rows_stand_in_the_table(folders):  # noqa: F811
    scores = score_folders(folders / "maps", folders / "gts", dataset="coca")
    row = next(line for line in format_table(scores).splitlines() if line.startswith("GCoNet (CVPR 2021)"))
    assert row.split()[-4:] == ["0.760", "0.673", "0.544", "0.105"]  # max E, S, max F, MAE: Table 2
    assert "GCoNet" not in format_table(score(folders))
    for dataset in ("CoCA", "CoSOD3k", "Cosal2015"):
        assert len(published_results(dataset)) == 18


def test_the_table_in_its_styles(folders):  # noqa: F811
    scores = score_folders(folders / "maps", folders / "gts", method="my_maps", dataset="toy")
    figures = [f"{scores.figures[name]:.3f}" for name in ("max_e", "s_measure", "max_f", "mae")]
    text = format_table(scores, groups=True).splitlines()
    assert text[0] == "toy, toolbox convention"
    assert text[2].split()[:6] == ["my_maps", "4", *figures]
    assert [line.split()[:2] for line in text[3:]] == [["cat", "3"], ["dog", "1"]]
    header, rule, row = format_table(scores, style="markdown").splitlines()[2:]
    assert header.count("|") == rule.count("|") == row.count("|") == 15
    assert row.startswith(f"| my_maps | 4 | {' | '.join(figures)} |")
    text = format_table(scores).splitlines()
    assert text[1].split()[-4:] == ["P@.5", "J@.5", "P@ad", "J@ad"]
    assert text[2].split()[-3] == f"{scores.figures['j_half']:.3f}"
    latex = format_table(scores, style="latex")
    assert f"my\\_maps & {' & '.join(figures)} \\\\".replace("0.", ".") in latex
    with pytest.raises(ValueError, match="text, markdown, latex"):
        format_table(scores, style="html")


def test_latex_is_a_papers_table(folders):  # noqa: F811
    """By hand: the sets side by side, and per column the best and the second best as printed."""
    one = score_folders(folders / "maps", folders / "gts", method="ours", dataset="CoCA")
    figures = {"max_e": 0.7804, "s_measure": 0.6, "max_f": 0.5741, "mae": 0.1131}
    a = replace(one, figures=figures)
    b = replace(one, dataset="toy", figures={**figures, "mae": 1.0, "max_f": math.nan})
    text = format_table(a, b, style="latex").splitlines()
    assert text[:2] == ["% toolbox convention", "% ours: 4 of 1295 images of CoCA"]
    assert text[2:4] == [r"\begin{tabular}{lcccccccc}", r"\toprule"]
    assert text[4] == r"& \multicolumn{4}{c}{CoCA} & \multicolumn{4}{c}{toy} \\"
    assert text[5] == r"\cmidrule(lr){2-5}\cmidrule(lr){6-9}"
    assert text[6].startswith(
        r"& max E $\uparrow$ & S $\uparrow$ & max F $\uparrow$ & MAE $\downarrow$ & max E"
    )
    assert text[18] == r"GCoNet (CVPR 2021) & .760 & .673 & .544 & .105 &  &  &  &  \\"
    second, best = (line for line in text if "VGG16" in line and "D+CS" in line)
    assert second.endswith(
        r"& \underline{.814} & \underline{.738} & \underline{.637} & \textbf{.081} &  &  &  &  \\"
    )
    assert best.endswith(r"& \textbf{.839} & \textbf{.763} & \textbf{.685} & .089 &  &  &  &  \\")
    assert text[-3] == r"ours & .780 & .600 & .574 & .113 & .780 & .600 & -- & 1.000 \\"
    ratios = mark([9.5, None, 12.0, math.nan], "object_ratio")
    assert ratios == [r"\underline{9.500}", "", r"\textbf{12.000}", "--"]
    assert mark([0.2, 0.4], "on_distractors") == [r"\textbf{.200}", r"\underline{.400}"]
    assert mark([math.nan, math.nan], "on_object") == ["--", "--"] and mark([0.3], "mae") == [".300"]


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
