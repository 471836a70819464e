"""The commands of the README and of docs/, run on toy data as they stand there."""

import re
import shlex
import shutil

import numpy as np
import torch
from PIL import Image

from gconet.data.toy import make_toy_set
from tests import official
from tests.conftest import NARROW, ROOT

PAGES = [
    ROOT / "README.md",
    *sorted(p for name in ("docs", "gconet/weights") for p in (ROOT / name).glob("*.md")),
]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
README = TEXTS[PAGES[0]]
SMALL = ["train.steps=2", "data.image_size=32", "data.group_size=2", "encoder.weights=none", "data.workers=0"]
SMALL.append(NARROW)
ELSEWHERE = ("scripts/tools/import_release_episodes.py", "data.episodes")  # need the authors' repository


def commands():
    blocks = [block for text in TEXTS.values() for block in text.split("```bash\n")[1:]]
    lines = [line.strip() for block in blocks for line in block.split("```")[0].splitlines()]
    assert sum(line.startswith("python ") for line in lines) > 10
    lines = [line.replace("gconet ", "python gconet/__main__.py ", 1) if line.startswith("gconet ") else line
             for line in lines]  # fmt: skip
    return [shlex.split(line)[1:] for line in dict.fromkeys(lines) if line.startswith("python ")]


def test_every_command_of_the_readme_runs(run, tmp_path):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copytree(ROOT / "data/demo", tmp_path / "data/demo", ignore=shutil.ignore_patterns("0[1-9].*"))
    for i, name in enumerate(("DUTS_class", "CoCA", "CoSOD3k", "Cosal2015")):
        make_toy_set(tmp_path / "data", name, classes=2, images_per_class=2, size=48, seed=i)
    torch.save(official.random_state(), tmp_path / "OFFICIAL.pth")

    trained = commands()
    # training comes after "your own pictures" in the text, and must come first here
    trained.sort(key=lambda c: 0 if c[0] == "-m" else 1 if c[0] == "train.py" or "average" in c[0] else 2)
    for command in trained:
        script, arguments = command[0], command[1:]
        if any(word in " ".join(command) for word in ELSEWHERE):
            continue
        if script == "-m":
            script, arguments = command[1].replace(".", "/") + ".py", command[2:]
        if script == "train.py" and "--resume" not in arguments:
            given = " ".join(arguments)
            unfit = "data.group_size" if "smoke" in given else "encoder." if "init=" in given else "-"
            arguments += [setting for setting in SMALL if not setting.startswith(unfit)]
        # the toy stand-ins have not the known totals, which check_data.py must say
        run(script, *arguments, cwd=tmp_path, status=1 if "check_data" in script else 0)
    assert (tmp_path / "results/guitar/crops/guitar/00.jpg").exists()
    table = (tmp_path / "results.md").read_text()
    assert "ours" in table and "GCoNet" in table and "CoSOD3k" in table


def test_python_on_the_pages_prints_what_they_say(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (code,) = (block.split("```")[0] for block in README.split("```python\n")[1:])
    names = {}
    exec(code, names)
    printed = capsys.readouterr().out.splitlines()
    said = [line.split("  # ")[1] for line in code.splitlines() if line.startswith("print")]
    assert printed[0] == said[0] and printed[1] == said[1].split(",")[0]
    for path, m in zip(sorted((ROOT / "data/demo/images/guitar").iterdir()), names["maps"], strict=True):
        assert m.dtype == np.uint8 and m.shape[::-1] == Image.open(path).size
    page = TEXTS[ROOT / "docs/python.md"]
    parts = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", page, re.S)
    assert len(parts) == page.count("```python") > 3
    names = {}
    for code, said in parts:
        exec(code, names)
        assert capsys.readouterr().out == said


def test_links_exist_and_results_are_filled_in():
    for page, text in TEXTS.items():
        links = [part.split(")")[0] for part in text.split("](")[1:]]
        assert all((page.parent / link.split("#")[0]).exists() for link in links), page
        for file, _, anchor in (link.partition("#") for link in links if "#" in link):
            target = page.parent / file if file else page
            heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            assert anchor in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads], anchor
    assert README.count("](") > 8 and len(README) <= 8000
    long = {page.name for page, text in TEXTS.items() if len(text) >= 6000}
    assert long <= {"README.md", "experiments.md"}
    assert not re.search("TODO|^[A-Z]+ ?$", "\n".join(TEXTS.values()), re.M)
