"""Draw what training with data.distractors sees: pictures, what was made of them, and the masks.

    python scripts/tools/draw_composed.py --output composed.jpg
    python scripts/tools/draw_composed.py --images data/images/toy --gts data/gts/toy --output toy.jpg

A row for each picture of one episode: the group's picture, another class's picture, the two
composed, and the mask of the group's object in it (gconet/data/compose.py).
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import torch
from PIL import Image

from gconet.data.compose import compose
from gconet.data.dataset import EpisodeDataset
from gconet.data.episodes import DrawnEpisodes
from gconet.data.groups import scan_groups
from gconet.errors import ConfigError, run_command

SIZE = 160  # pixels a side


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--images", type=Path, default=Path("data/demo/images"), metavar="DIR", help="default: %(default)s")
    add("--gts", type=Path, default=Path("data/demo/gts"), metavar="DIR", help="default: %(default)s")
    add("--output", type=Path, required=True, metavar="FILE", help="a .jpg or .png file")
    add("--overwrite", action="store_true", help="replace the file if it exists")
    args = parser.parse_args()
    if args.output.exists() and not args.overwrite:
        raise ConfigError(f"{args.output} exists already; name another file, or --overwrite it")
    groups = scan_groups(args.images, args.gts)
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
