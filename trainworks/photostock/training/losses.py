"""What training minimises. Shapes: B pairs, D embedding size, T tags.

Embeddings are L2-normalised, batches are those of all ranks together. Logits are fp32 whatever the precision of the
towers, since the 8 bits of bf16 are too few for small differences. Every loss is a scalar, averaged over pictures.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, softplus

from trainworks.photostock.training.loss_terms import terms

ZHAI_BIAS = -10.0
"""Where SigLIP's bias starts in Zhai et al. 2023 (arXiv 2303.15343)."""


class Loss:
    """The weighted sum that the knob ``loss`` describes; ``terms`` are its weights by name.

    Raises:
        LanguageError: *text* does not parse.
    """

    def __init__(self, text: str):
        self.terms = terms(text)

    def __call__(
        self,
        image_BD: Tensor,
        text_BD: Tensor,
        scale: Tensor,
        caption_B: Tensor,
        *,
        bias: Tensor | None = None,
        teacher: tuple[Tensor, Tensor, Tensor] | None = None,
        tagged: tuple[Tensor, Tensor] | None = None,
        changed: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Every term without its weight, and ``loss``, their weighted sum.

        Args:
            image_BD, text_BD: embeddings of the pairs
            scale: what similarities are multiplied by, for all terms
            caption_B: numbers the captions; the same number is the same caption, or whatever else counts as right
            bias: that of ``siglip``
            teacher: for ``distill``, image and text embeddings and scale of the untouched model, for the same batch
            tagged: for ``tags``, embeddings (T, D) of the batch's tags and which picture has which, bool (B, T)
            changed: for ``invariance``, embeddings of the same pictures and texts after a change that must not matter, (B, D) each
        """
        values: dict[str, Tensor] = {}
        for term in self.terms:
            match term:
                case "clip":
                    values[term] = clip(image_BD, text_BD, scale, caption_B)
                case "siglip":
                    assert bias is not None, "siglip needs a bias"
                    values[term] = siglip(image_BD, text_BD, scale, bias, caption_B)
                case "distill":
                    assert teacher is not None, "distill needs the untouched model's embeddings"
                    values[term] = distill(image_BD, text_BD, scale, *teacher)
                case "tags":
                    assert tagged is not None, "tags needs the batch's tags"
                    values[term] = tags(image_BD, scale, *tagged)
                case "invariance":
                    assert changed is not None, "invariance needs the batch's changed pictures and texts"
                    values[term] = invariance(image_BD, text_BD, *changed)
        return values | {"loss": torch.stack([weight * values[term] for term, weight in self.terms.items()]).sum()}


def clip(image_BD: Tensor, text_BD: Tensor, scale: Tensor, caption_B: Tensor) -> Tensor:
    """CLIP's symmetric InfoNCE, with every picture of the same caption a right answer.

    With q_ij = [caption_i = caption_j] / Σ_j [caption_i = caption_j] and s = scale · image · textᵀ,
    the loss is the mean of −Σ_j q_ij log softmax_j(s)_ij over rows and, likewise, columns.
    Without shared captions q is the identity: Radford et al. 2021 (arXiv 2103.00020), figure 3.
    Targets over several right answers: Khosla et al. 2020 (arXiv 2004.11362), equation 2.
    """
    logits_BB = _logits(image_BD, text_BD, scale)
    same_BB = _same(caption_B).float()
    target_BB = same_BB / same_BB.sum(1, keepdim=True)
    return (cross_entropy(logits_BB, target_BB) + cross_entropy(logits_BB.T, target_BB)) / 2


def siglip(image_BD: Tensor, text_BD: Tensor, scale: Tensor, bias: Tensor, caption_B: Tensor) -> Tensor:
    """SigLIP's pairwise sigmoid: for every picture and text of the batch, whether they are a pair.

    With z_ij = 1 where caption_i = caption_j, else −1, the loss is −1/B Σ_ij log σ(z_ij (scale · image_i · text_j + bias)):
    summed over the texts, averaged over the B pictures. Zhai et al. 2023 (arXiv 2303.15343), algorithm 1, where z is
    1 on the diagonal only. :func:`initial_bias` is for a model that has no bias yet.
    """
    logits_BB = _logits(image_BD, text_BD, scale) + bias.float()
    return torch.where(_same(caption_B), softplus(-logits_BB), softplus(logits_BB)).sum() / len(logits_BB)


@torch.no_grad()
def initial_bias(image_BD: Tensor, text_BD: Tensor, scale: Tensor, caption_B: Tensor) -> Tensor:
    """Where the bias of a model without one starts: −10 as in Zhai et al., or lower if the minimum of :func:`siglip` is lower.

    The loss is convex in the bias, and least where Σ_ij σ(s_ij + bias) is the number of right pairs. −10 suits a scale
    near 10 and untrained towers; a pretrained CLIP with a scale of 100 would start with every wrong pair taken for
    right, and at the learning rates of fine-tuning the bias would hardly change that.
    """
    logits_BB = _logits(image_BD, text_BD, scale).double()
    share = _same(caption_B).double().mean()
    low, high = share.logit() - logits_BB.max(), share.logit() - logits_BB.min()
    for _ in range(50):
        middle = (low + high) / 2
        is_high = (logits_BB + middle).sigmoid().mean() > share
        low, high = torch.where(is_high, low, middle), torch.where(is_high, middle, high)
    return high.clamp(max=ZHAI_BIAS).float()


def distill(
    image_BD: Tensor, text_BD: Tensor, scale: Tensor, teacher_image_BE: Tensor, teacher_text_BE: Tensor, teacher_scale: Tensor
) -> Tensor:
    """How far the batch's similarities have moved from the untouched model's: 0 where nothing is forgotten.

    With p and p′ the softmax over texts of the student's and the teacher's scaled similarities, the loss is the mean of
    KL(p′_i ‖ p_i) over pictures and, likewise, over texts. Contrastive relational distillation of Yang et al. 2023
    (arXiv 2307.12732), with the model before fine-tuning as teacher as in Zheng et al. 2023 (arXiv 2303.06628). The
    embedding sizes D and E may differ. No gradient reaches the teacher.
    """
    logits_BB = _logits(image_BD, text_BD, scale)
    with torch.no_grad():
        teacher_BB = _logits(teacher_image_BE, teacher_text_BE, teacher_scale)
    by_picture, by_text = (
        kl_div(logits_BB.log_softmax(dim), teacher_BB.log_softmax(dim), reduction="sum", log_target=True) for dim in (1, 0)
    )
    return (by_picture + by_text) / (2 * len(logits_BB))


def tags(image_BD: Tensor, scale: Tensor, tag_TD: Tensor, has_BT: Tensor) -> Tensor:
    """InfoNCE from a picture to single tags: its own are right, those that only other pictures have are wrong.

    The loss is the mean of −1/|Tᵢ| Σ_{t in Tᵢ} log softmax_t(scale · image_i · tag_t) over the pictures that have tags,
    Tᵢ; pictures without tags do not count, and a batch without tags costs 0. The image-to-text half of UniCL, Yang et al. 2022
    (arXiv 2204.03610), with tags as texts. A tag may stand in several columns, say one of each rank, if a picture that
    has it has it in all of them.
    """
    log_share_BT = _logits(image_BD, tag_TD, scale).log_softmax(1)
    count_B = has_BT.sum(1)
    cost_B = -(log_share_BT * has_BT).sum(1) / count_B.clamp(min=1)
    return cost_B.sum() / (count_B > 0).sum().clamp(min=1)


def invariance(image_BD: Tensor, text_BD: Tensor, changed_image_BD: Tensor, changed_text_BD: Tensor) -> Tensor:
    """How far a change that must not matter moves pictures and texts: 0 where it moves none, 4 where it turns all into their opposite.

    The mean over pictures of 1 − cosine of a picture and the same picture changed, plus that over texts. Both of a pair are pulled:
    half the invariance term of VICReg, Bardes et al. 2022 (arXiv 2105.04906), equation 5, of embeddings of length 1.
    """
    pairs = ((image_BD, changed_image_BD), (text_BD, changed_text_BD))
    return torch.stack([(whole.float() - changed.float()).square().sum(1).mean() / 2 for whole, changed in pairs]).sum()


def _logits(image_BD: Tensor, text_TD: Tensor, scale: Tensor) -> Tensor:
    with torch.autocast(image_BD.device.type, enabled=False):
        return scale.float() * image_BD.float() @ text_TD.float().T


def _same(caption_B: Tensor) -> Tensor:
    return caption_B[:, None] == caption_B[None, :]
