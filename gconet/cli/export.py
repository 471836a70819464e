"""Write the network as an ONNX file for groups of any number of images, and check it.

    gconet export --output gconet.onnx
    gconet export --checkpoint runs/gconet/last.pt --output gconet.onnx

Input `images`: RGB in [0,1], (N,3,S,S) float32, all images of one group; the normalisation is inside. Output
`maps`: co-saliency in [0,1], (N,1,S,S) float32. The affinity matrix of the whole group is held in memory:
0.25 GB for 40 images, 14 GB for 300. Needs pip install 'gconet[onnx]'.

Fails unless onnxruntime's maps of groups of 1, 2 and 7 agree with PyTorch's within 1e-4.
"""

from pathlib import Path

from gconet.cli import add_checkpoint, new_parser
from gconet.errors import say
from gconet.files import check_files


def main() -> int:
    parser = new_parser(__doc__)
    add_checkpoint(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the ONNX file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    args = parser.parse_args()
    from gconet.checkpoint import find_checkpoint, load_model  # these load PyTorch
    from gconet.inference.onnx_file import export

    check_files([args.output], overwrite=args.overwrite)
    net, config = load_model(find_checkpoint(args.checkpoint))
    difference = export(net, config.data.image_size, args.output)
    say(f"{args.output}: groups of 1, 2 and 7 agree with PyTorch within {difference:.1e}")
    return 0
