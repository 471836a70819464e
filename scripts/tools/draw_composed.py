"""Draw what training with data.distractors sees: pictures, what was made of them, and the masks.

    python scripts/tools/draw_composed.py --output composed.jpg
    python scripts/tools/draw_composed.py --images data/images/toy --gts data/gts/toy --output toy.jpg

A row for each picture of one episode: the group's picture, another class's picture, the two
composed, and the mask of the group's object in it (gconet/data/compose.py).
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from gconet.data.compose import compose
from gconet.data.dataset import EpisodeDataset
from gconet.data.episodes import DrawnEpisodes
from gconet.data.groups import scan_groups
from gconet.errors import ConfigError, run_command


def main() -> int:
    args = parse_args()
    if args.output.exists() and not args.overwrite:
        raise ConfigError(f"{args.output} exists already; name another file, or --overwrite it")
    groups = scan_groups(args.images, args.gts)
    sizes = tuple(len(group.items) for group in groups)
    episodes = DrawnEpisodes(sizes=sizes, seed=args.seed, group_size=args.group, flip=0.0, rotation=0.0)
    dataset = EpisodeDataset(groups, episodes, size=args.size, distractors=1.0, seed=args.seed)
    batch = dataset[args.step]
    images, masks = compose(batch.images, batch.masks, *batch.composition)
    columns = [batch.images, batch.others, images, masks.expand(-1, 3, -1, -1)]
    rows = [np.concatenate([c[i].permute(1, 2, 0).numpy() for c in columns], 1) for i in range(len(images))]
    half = len(rows) // 2  # one group in each half of the figure
    figure = np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half:])], 1)
    Image.fromarray(figure).save(args.output, quality=85)
    print(
        f"{len(rows)} pictures of {' and '.join(groups[i].name for i in dataset.episode(args.step).labels)}"
    )
    return 0


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--images", type=Path, default=Path("data/demo/images"), metavar="DIR", help="default: %(default)s")
    add("--gts", type=Path, default=Path("data/demo/gts"), metavar="DIR", help="default: %(default)s")
    add("--output", type=Path, required=True, metavar="FILE", help="a .jpg or .png file")
    add("--size", type=int, default=160, help="pixels a side (default: %(default)s)")
    add("--group", type=int, default=4, help="most pictures of a group (default: %(default)s)")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--step", type=int, default=0, help="which episode (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace the file if it exists")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
