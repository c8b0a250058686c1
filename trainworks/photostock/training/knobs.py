"""Knobs from the pretrained towers to the fine-tuned ones."""

from dataclasses import dataclass
from enum import Enum

from trainworks.config import Section, knob


class Precision(Enum):
    """Arithmetic of the towers; logits and loss are always fp32."""

    FP32 = "fp32"
    BF16 = "bf16"


class Pairs(Enum):
    """Which text goes with which picture."""

    TRUE = "true"
    SHUFFLED = "shuffled"


@dataclass(frozen=True)
class TrainConfig(Section):
    """From the pretrained towers to the fine-tuned ones."""

    name = "train"

    backbone: str = knob("lite0-minilm", "lite0-minilm, or any architecture of open_clip such as ViT-B-32")
    weights: str = knob("pretrained", "pretrained, random, a tag of open_clip, or a local or s3:// checkpoint")
    image: str = knob("shortest(96) > center_crop(96)", "picture to square input of the image tower")
    augment_image: str = knob("", "what training pictures go through anew every epoch, such as flip > color_jitter(0.2)")
    augment_text: str = knob("sample_field", "what a picture's texts go through, such as sample_field > drop_tags(0.3) > shuffle_tags")
    tune: str = knob("logit_scale=1, *.head=1, *=0", "what learns, how fast, from when: pattern=factor@epoch, the first match wins")
    loss: str = knob(
        "clip + 30*invariance",
        "weighted terms of clip, siglip, distill, tags and invariance, such as clip + 0.2*distill; thousands of pictures bear 2*invariance",
    )
    average: str = knob("ema(0.98)", "weights that are kept: ema(0.98), wise, or ema(0.98) > wise; empty keeps those of the best epoch")
    epochs: int = knob(12, "passes over the training pictures", least=1)
    batch_size: int = knob(64, "pairs per step", least=2)
    learning_rate: float = knob(1e-3, "peak learning rate of factor 1", above=0, most=1)
    weight_decay: float = knob(0.05, "AdamW weight decay", least=0, most=1)
    patience: int = knob(4, "epochs without a better validation recall before training stops", least=1)
    precision: Precision = knob(Precision.FP32, "arithmetic of the towers")
    devices: int = knob(1, "GPUs of one machine that share every batch; without a GPU, processes", least=1, most=16)
    pairs: Pairs = knob(Pairs.TRUE, "shuffled trains on wrong pairs: recall must fall to chance")
    seed: int = knob(1, "seed of every random choice in training", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        from trainworks.photostock.augmentation.augment_image import Augmentation
        from trainworks.photostock.augmentation.augment_text import TextAugmentation
        from trainworks.photostock.model import tune
        from trainworks.photostock.preprocessing.pixels import Preprocessing
        from trainworks.photostock.preprocessing.text import Prompt
        from trainworks.photostock.training import averaging, loss_terms

        Preprocessing(self.image)
        Augmentation(self.augment_image)
        TextAugmentation(self.augment_text, Prompt("{title}"))
        tune.rules(self.tune, self.epochs)
        if self.batch_size % self.devices:
            self.refuse("devices", f"share every batch evenly, and --batch_size = {self.batch_size} cannot be divided by it")
        terms, average = loss_terms.terms(self.loss), averaging.parse(self.average)
        if self.weights == "random" and "distill" in terms:
            self.refuse("loss", "distill holds the model near the untouched one, and --weights = random knows nothing worth keeping")
        if self.weights == "random" and average.wise:
            self.refuse("average", "wise mixes with the untouched model, and --weights = random knows nothing worth keeping")
