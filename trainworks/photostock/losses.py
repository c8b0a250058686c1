"""What training minimises. Shapes: B pairs, D embedding size."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def contrastive(image_BD: Tensor, text_BD: Tensor, scale: Tensor, caption_B: Tensor) -> Tensor:
    """CLIP's symmetric InfoNCE, with every picture of the same caption a right answer.

    With q_ij = [caption_i = caption_j] / Σ_j [caption_i = caption_j] and s = scale · image · textᵀ,
    the loss is the mean of −Σ_j q_ij log softmax_j(s)_ij over rows and, likewise, columns.
    Without shared captions q is the identity: Radford et al. 2021 (arXiv 2103.00020), figure 3.
    Targets over several right answers: Khosla et al. 2020 (arXiv 2004.11362), equation 2.

    Embeddings are L2-normalised; *caption_B* numbers the captions. Logits are fp32 whatever the
    precision of the towers, since bf16 has 8 bits for differences that decide.
    """
    with torch.autocast(image_BD.device.type, enabled=False):
        logits_BB = scale.float() * image_BD.float() @ text_BD.float().T
        same_BB = (caption_B[:, None] == caption_B[None, :]).float()
        target_BB = same_BB / same_BB.sum(1, keepdim=True)
        return (cross_entropy(logits_BB, target_BB) + cross_entropy(logits_BB.T, target_BB)) / 2
