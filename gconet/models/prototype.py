"""An alternative consensus: the democratic prototype of DCFM (Yu et al., CVPR 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gconet.models.affinity import BLOCK, Consensus, best_matches


class PrototypeConsensus(nn.Module):
    """Each image picks one seed, all seeds vote on every position, and the prototype is what they agree on.

    With unit features f̂, the seed s_n of image n is the f̂_p with the best matches in all images, as for
    GAM. The vote on a position p is the mean of relu(f̂_p · s_n) over all n, rescaled to [0,1] in each image:
    the map R. The prototype is the mean of R·F over the group, and F is multiplied by E = prototype + R.

    Left out: DCFM's residual convolution before this, its attention after it, and its loss between
    prototypes. DCFM finds the seeds with two convolutions that receive no gradient, and applies relu only in
    testing; here features are compared as they are, and relu is always applied. A single image's seed is
    arbitrary.
    """

    bytes_per_number = 20  # of stage 5: unit features, their rows and keys, E, in float32; and the features

    def forward(self, features: Tensor, block: int | None = BLOCK) -> Consensus:
        """Features of one group (N,C,h,w) → its consensus, whose E is (N,C,h,w)."""
        N, C, h, w = features.shape
        unit = F.normalize(features.float(), dim=1)
        with torch.no_grad():
            seed = best_matches(unit, unit, block).argmax(1)  # (N,) of P positions
        unit = unit.flatten(2)  # (N,C,P)
        seeds = unit.gather(2, seed.view(N, 1, 1).expand(N, C, 1))[..., 0]  # (N,C)
        if block is None:
            votes = torch.einsum("mc,ncp->nmp", seeds, unit).relu().mean(1)  # (N,P)
        else:  # one image at a time, so that memory stays linear in N
            votes = torch.stack([(seeds @ image).relu().mean(0) for image in unit.unbind()])
        low, high = votes.amin(1, keepdim=True), votes.amax(1, keepdim=True)
        R = ((votes - low) / (high - low + 1e-12)).view(N, 1, h, w)
        prototype = (features * R).mean((0, 2, 3), keepdim=True)
        return Consensus(prototype + R, R)
