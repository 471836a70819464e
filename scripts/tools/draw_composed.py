"""Draw what training with data.distractors sees: the pictures, their compositions and the masks.

    python scripts/tools/draw_composed.py --output composed.jpg

One row for each picture of a demo episode: the group's picture, another class's picture, the composition
of the two, and the mask of the group's object in it (gconet/data/compose.py).
"""

from pathlib import Path

import torch
from PIL import Image

from gconet.cli import new_parser
from gconet.data.compose import compose
from gconet.data.dataset import EpisodeDataset
from gconet.data.episodes import DrawnEpisodes
from gconet.data.groups import scan_groups
from gconet.errors import run_command
from gconet.files import check_files

DEMO = Path("data/demo")
SIZE = 160  # pixels per side


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="a new .jpg or .png file")
    args = parser.parse_args()
    check_files([args.output])
    groups = scan_groups(DEMO / "images", DEMO / "gts")
    sizes = tuple(len(group.items) for group in groups)
    episodes = DrawnEpisodes(sizes=sizes, seed=0, group_size=4, flip=0.0, rotation=0.0)
    dataset = EpisodeDataset(groups, episodes, size=SIZE, distractors=1.0)
    batch = dataset[0]
    images, masks = compose(batch.images, batch.masks, *batch.composition)
    columns = torch.stack([batch.images, batch.others, images, masks.expand_as(images)], 1)
    n = len(images) // 2  # one group in each half of the figure
    figure = columns.view(2, n, 4, 3, SIZE, SIZE).permute(1, 4, 0, 2, 5, 3)  # (n,S,2,4,S,3)
    Image.fromarray(figure.reshape(n * SIZE, 8 * SIZE, 3).numpy()).save(args.output, quality=85)
    names = (groups[label].name for label in dataset.episode(0).labels)
    print(f"{2 * n} pictures of {' and '.join(names)}")
    return 0


if __name__ == "__main__":
    run_command(main)
