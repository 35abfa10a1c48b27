"""What decides a run's result, `Config`, and what does not, `Runtime`.

Every field of `Config` is written to `RUN/config.json`, and a run is only continued with the
same values. `Runtime` may differ from one start to the next: it decides speed, not meaning.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Mu = int | float | Literal["share", "heldout"]
Cache = Literal["auto", "device", "memory", "none"]
Pairs = Literal["wta", "rank", "cosine", "nearest"]
Method = Literal["ours", "kmeans", "kcl", "mcl", "dtc", "rs", "rs-ll"]
Pretraining = Literal["auto", "none", "labels", "rotnet", "cl", "simclr"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Config(_Frozen):
    """Every setting that decides what a run finds. Defaults are the preset's."""

    preset: str = Field(
        "images",
        description="the named settings that the others start from; auto, as without it: chosen "
        "by the data",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="decides every random choice of the run")

    # Method
    method: Method = Field(
        "ours",
        description="ours, or a baseline: kmeans, kcl, mcl, dtc, rs (ranking statistics) or rs-ll "
        "(the same with the labelled head widened)",
    )
    pretraining: Pretraining = Field(
        "auto",
        description="how a baseline's network is trained first: by `labels` (cross-entropy), "
        "`rotnet` (rotations), `cl` (cross-entropy, NCE-I and NCE-C), `simclr` (NCE-I) or not "
        "(`none`; of kmeans with --weights alone); auto: rotnet for dtc, rs and rs-ll, labels for "
        "kmeans, kcl and mcl, none for ours",
    )
    dtc_variant: Literal["plain", "pi", "te", "tep"] = Field(
        "pi",
        description="DTC's consistency: none, between two views (pi), with the ensemble of earlier "
        "predictions (te); or none, and targets made of that ensemble (tep)",
    )

    # Data
    px: int = Field(224, ge=8, le=1024, description="side of the square the network sees, pixels")
    channels: Literal[1, 3] = Field(3, description="1 reads images as grey, 3 as colour")
    held_out: float = Field(
        0.1, ge=0, lt=0.9, description="share of labelled items kept from training to measure on"
    )

    # Views (SimCLR's, which the paper follows)
    crop_scale: tuple[float, float] = Field(
        (0.08, 1.0), description="least and largest area of the random crop, share of the picture"
    )
    crop_ratio: tuple[float, float] = Field(
        (3 / 4, 4 / 3), description="least and largest width / height of the random crop"
    )
    flip: float = Field(0.5, ge=0, le=1, description="probability of a left-right flip")
    rotate_degrees: float = Field(0.0, ge=0, le=180, description="largest rotation either way")
    shift: float = Field(
        0.0, ge=0, le=0.5, description="largest shift of a crop either way, share of the side"
    )
    jitter: float = Field(0.8, ge=0, le=1, description="probability of the colour distortion")
    brightness: float = Field(0.8, ge=0, le=1, description="strength of the brightness change")
    contrast: float = Field(0.8, ge=0, le=1, description="strength of the contrast change")
    saturation: float = Field(0.8, ge=0, le=1, description="strength of the saturation change")
    hue: float = Field(0.2, ge=0, le=0.5, description="strength of the hue change, in turns")
    grey: float = Field(0.2, ge=0, le=1, description="probability of dropping all colour")
    blur: float = Field(0.5, ge=0, le=1, description="probability of a Gaussian blur")
    blur_sigma: tuple[float, float] = Field(
        (0.1, 2.0), description="least and largest standard deviation of the blur, pixels"
    )

    # Weak views, which baselines are trained on but for their contrastive stages
    weak_crop_scale: tuple[float, float] = Field(
        (0.5, 1.0), description="baselines' views: area of the random crop, share of the picture"
    )
    weak_shift: float = Field(
        0.0, ge=0, le=0.5, description="baselines' views: largest shift, share of the side"
    )

    # What a baseline changes of the training settings below in stages of its own, all but
    # contrastive pretraining (the batch) and in its last ones (the others)
    own_batch: int | None = Field(
        None, ge=4, description="baselines: batch of all stages but cl and simclr; unset = batch"
    )
    own_epochs: int | None = Field(
        None,
        ge=1,
        description="baselines: T of the stages after pretraining and labels; unset = epochs",
    )
    own_weight_decay: float | None = Field(
        None, ge=0, description="baselines: weight decay of the last stage; unset = weight_decay"
    )
    own_drops: tuple[float, ...] | None = Field(
        None, description="baselines: drops of the last stage; unset = the schedule and drops"
    )
    own_drop_factor: float | None = Field(
        None, gt=0, le=1, description="baselines: of the last stage's drops; unset = drop_factor"
    )

    # Network (Figure 1)
    width: int = Field(64, ge=4, le=256, description="channels of each encoder's first stage")
    projection_hidden: int = Field(
        512, ge=1, le=65536, description="hidden size of the contrastive MLP h"
    )
    projection_size: int = Field(
        128, ge=2, le=65536, description="output size of the contrastive MLP h"
    )
    sync_batch_norm: bool = Field(
        True,
        description="where torchrun starts several processes: BatchNorm by the whole batch, so "
        "that their number does not change what is found; without, each by its own share, which is "
        "faster where the network between them is slow",
    )

    # Objective (Eqs. 1-10)
    temperature: float = Field(0.1, gt=0, description="tau of Eqs. 1, 2, 4 and 5")
    hashes: int = Field(512, ge=1, le=65536, description="H, the number of WTA permutations")
    window: int = Field(4, ge=2, description="k, the elements each WTA hash compares")
    pairs: Pairs = Field(
        "wta",
        description="which pairs are positive (Table 7): by WTA hashing (Eq. 6), by ranking "
        "statistics, the same greatest features, by cosine similarity, or nearest neighbours",
    )
    cosine_threshold: float = Field(
        0.95,
        gt=-1,
        le=1,
        description="with pairs `cosine`: the least similarity of a positive pair; with mu `share` "
        "the threshold follows the share instead",
    )
    rank_top: int = Field(5, ge=1, description="with pairs `rank`: how many greatest features")
    mu: Mu = Field(
        240,
        description="WTA codes that must agree for a positive pair: a count, a fraction of H, "
        "`share` (follow the share of positive pairs of balanced categories) or `heldout` "
        "(search on known classes first, section 4.4)",
    )
    share_factor: float = Field(
        0.6, gt=0, le=2, description="with mu `share`: times 1/C_u gives the share of positives"
    )
    heldout_epochs: int = Field(
        20, ge=1, description="with mu `heldout`: epochs of each run of the search"
    )
    same_view_pairs: bool = Field(False, description="p and q of Eq. 7 both from the first view")
    ce_weight: float = Field(1.0, ge=0, description="weight of the cross-entropy")
    bce_weight: float = Field(1.0, ge=0, description="weight of the pairwise loss, Eqs. 7-8")
    instance_weight: float = Field(1.0, ge=0, description="weight of NCE-I inside Eq. 3")
    category_weight: float = Field(1.0, ge=0, description="weight of NCE-C inside Eq. 3")
    consistency_weight: float = Field(1.0, ge=0, description="weight of Eq. 9, besides omega")
    ramp_scale: float = Field(
        1.0, ge=0, le=1, description="lambda of omega(r); at most 1, as NCE's weight is 1 - omega"
    )
    ramp_length: float = Field(
        1.0, gt=0, le=1, description="share of the epochs in which omega(r) rises, then it stays"
    )

    # Training
    epochs: int = Field(
        200, ge=1, description="T, passes over the data; each stage of a baseline is a share of T"
    )
    batch: int = Field(1024, ge=4, description="items in a batch, two views of each")
    unlabelled_share: float | None = Field(
        None, gt=0, lt=1, description="share of unlabelled items in each batch; unset = uniform"
    )
    lr: float = Field(0.1, gt=0, description="SGD's learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD's momentum")
    weight_decay: float = Field(1e-4, ge=0, description="SGD's weight decay")
    warmup_epochs: float = Field(0.0, ge=0, description="epochs of linear warm-up")
    schedule: Literal["step", "cosine"] = Field(
        "step", description="step: down at `drops`; cosine: to zero at the end"
    )
    drops: tuple[float, ...] = Field(
        (0.85,), description="with schedule `step`: shares of the epochs at which the rate drops"
    )
    drop_factor: float = Field(0.1, gt=0, le=1, description="what each drop multiplies it by")
    settle_steps: int = Field(
        0,
        ge=0,
        description="once training has ended, the novel head settles on the trained network's "
        "features in at most so many steps of k-means on their directions; 0 as in the paper",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 autocast where the device computes in it"
    )

    @model_validator(mode="after")
    def _ranges_fit_together(self) -> "Config":
        for name in ("crop_scale", "weak_crop_scale", "crop_ratio", "blur_sigma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} is ({low}, {high}); give 0 < least <= largest")
        for name in ("crop_scale", "weak_crop_scale"):
            largest = getattr(self, name)[1]
            if largest > 1:
                raise ValueError(f"{name} ends at {largest}; a crop is at most 1")
        for name in ("drops", "own_drops"):
            if not all(0 < drop < 1 for drop in getattr(self, name) or ()):
                raise ValueError(
                    f"{name} are {getattr(self, name)}; give shares of the epochs between 0 and 1"
                )
        self._features_suffice()
        if not isinstance(self.mu, str) and self._reads_mu():
            self.mu_count()
        if self.mu == "heldout" and (self.pairs != "wta" or self.method != "ours"):
            raise ValueError(
                f"mu `heldout` searches for our method's WTA pairs, and these are pairs "
                f"{self.pairs} of method {self.method}; give mu share or a number"
            )
        self._stages_fit_together()
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs:g} of {self.epochs} epochs; give fewer, as "
                f"--warmup-epochs {self.epochs / 10:g}"
            )
        return self

    def _reads_mu(self) -> bool:
        return self.pairs == "wta" and self.method in ("ours", "rs", "rs-ll")

    def _stages_fit_together(self) -> None:
        if self.method == "ours" and self.pretraining not in ("auto", "none"):
            raise ValueError(
                f"pretraining is {self.pretraining}, and our method is trained in one stage; "
                "leave it out, or give the --method of a baseline"
            )
        if self.method != "ours" and self.settle_steps:
            raise ValueError(
                f"settle_steps is {self.settle_steps}, and method is {self.method}; only our "
                "method's novel head settles: leave it out"
            )
        if self.method == "dtc" and self.pretraining == "none":
            raise ValueError(
                "pretraining is none, and method is dtc, which clusters what pretraining has "
                "learnt; give --pretraining labels, cl, simclr or rotnet"
            )

    @property
    def first_stage(self) -> Pretraining:
        """`pretraining`, with `auto` replaced by the method's own."""
        if self.pretraining != "auto":
            return self.pretraining
        if self.method == "ours":
            return "none"
        return "rotnet" if self.method in ("dtc", "rs", "rs-ll") else "labels"

    @property
    def fused_size(self) -> int:
        """Size d of the features z-bar that phi_l and phi_u see."""
        return 8 * self.width

    def _features_suffice(self) -> None:
        """Each WTA hash compares so many of the features that phi_l and phi_u see."""
        self._are_so_many_features(f"of width {self.width}", "make the network wider")

    def _are_so_many_features(self, of: str, cure: str) -> None:
        for name in ("window", "rank_top"):
            if getattr(self, name) > self.fused_size:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, more than the {self.fused_size} features "
                    f"{of}; make it smaller, or {cure}"
                )

    def mu_count(self) -> float:
        """Mu as a count of codes, for a `mu` given as a number.

        A float up to 1 is a fraction of H. Unrelated items agree on H/k codes by chance, so
        mu must lie above that and at most at H. Raises ValueError.
        """
        assert not isinstance(self.mu, str), "a searched mu has no count before the search"
        is_fraction = isinstance(self.mu, float) and self.mu <= 1
        count = self.mu * self.hashes if is_fraction else float(self.mu)
        chance = self.hashes / self.window
        if not chance < count <= self.hashes:
            raise ValueError(
                f"mu is {self.mu}: unrelated items agree on {chance:g} of H = {self.hashes} codes "
                f"by chance (H/k), so give a count above {chance:g} and at most {self.hashes}, "
                f"or a fraction above {1 / self.window:g} and at most 1"
            )
        return count


ModalityPairs = Literal["within", "cross", "off"]

_112_OF_128 = ((112 / 128) ** 2, (112 / 128) ** 2)


class VideoConfig(Config):
    """Settings of videos with sound (sections 3.1.2 and 4). Defaults are the preset's."""

    preset: str = Field(
        "videos",
        description="the named settings that the others start from; auto, as without it: videos",
    )
    px: int = Field(112, ge=8, le=1024, description="side of the square the network sees, pixels")
    channels: Literal[3] = Field(3, description="clips are read in colour")
    modalities: Literal["both", "visual", "audio"] = Field(
        "both", description="what the network sees and hears"
    )

    crop_scale: tuple[float, float] = Field(
        _112_OF_128, description="least and largest area of the random crop, share of the picture"
    )
    crop_ratio: tuple[float, float] = Field(
        (1.0, 1.0), description="least and largest width / height of the random crop"
    )
    flip: float = Field(0.0, ge=0, le=1, description="probability of a left-right flip")
    jitter: float = Field(0.0, ge=0, le=1, description="probability of the colour distortion")
    grey: float = Field(0.0, ge=0, le=1, description="probability of dropping all colour")
    blur: float = Field(0.0, ge=0, le=1, description="probability of a Gaussian blur")
    weak_crop_scale: tuple[float, float] = Field(
        _112_OF_128,
        description="baselines' views: area of the random crop, share of the picture",
    )

    # A clip, and the sound around it
    clip_seconds: float = Field(1.0, gt=0, le=60, description="length of a clip")
    clip_frames: int = Field(16, ge=1, le=256, description="frames of a clip, evenly spaced")
    clips: int = Field(
        10, ge=1, le=1000, description="clips of each video in evaluation, evenly spread"
    )
    places: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="training takes clips from so many evenly spread places of each video, which "
        "can then be kept decoded; unset = from anywhere, decoded anew each time",
    )
    # Below 0.4 s the last maps are so narrow that torch 2.14's convolutions in bfloat16 on a CPU
    # give NaN now and then.
    sound_seconds: float = Field(2.0, ge=0.4, le=60, description="length of the sound")
    sound_offset_seconds: float = Field(
        0.5,
        ge=0,
        le=60,
        description="largest distance between the middles of clip and sound in training",
    )
    mels: int = Field(257, ge=8, le=512, description="bands of the log-mel spectrogram")
    mel_masks: int = Field(2, ge=0, le=100, description="SpecAugment: masks over bands")
    mel_mask_share: float = Field(
        27 / 80, ge=0, le=1, description="SpecAugment: the widest mask over bands, share of all"
    )
    time_masks: int = Field(2, ge=0, le=100, description="SpecAugment: masks over time")
    time_mask_share: float = Field(
        0.2, ge=0, le=1, description="SpecAugment: the longest mask over time, share of all"
    )
    missing_audio: Literal["skip", "zeros", "error"] = Field(
        "skip",
        description="videos without sound: leave out and list (skip), keep without audio features "
        "and out of cross-modal terms (zeros), or stop (error)",
    )

    # Fusion (Figure 1) and Eqs. 4-5
    fusion_size: int = Field(512, ge=8, le=65536, description="output size of the fusion layer eta")
    instance_pairs: ModalityPairs = Field(
        "cross", description="NCE-I within each modality, across them (Eq. 4), or off"
    )
    category_pairs: ModalityPairs = Field(
        "cross", description="NCE-C within each modality, across them (Eq. 5), or off"
    )
    positive_in_denominator: bool = Field(
        True, description="Eqs. 4-5 across modalities: count n = i in the denominator too"
    )

    @model_validator(mode="after")
    def _modalities_fit_together(self) -> "VideoConfig":
        for name in ("instance_pairs", "category_pairs"):
            if self.modalities != "both" and getattr(self, name) == "cross":
                flag = "--" + name.replace("_", "-")
                raise ValueError(
                    f"{name} is cross, and modalities is {self.modalities}; give {flag} within "
                    "or off, or --modalities both"
                )
        if self.modalities == "audio" and self.missing_audio == "zeros":
            raise ValueError(
                "missing_audio is zeros, and modalities is audio, which leaves nothing of a video "
                "without sound; give --missing-audio skip"
            )
        if self.modalities == "audio" and self.first_stage == "rotnet":
            raise ValueError(
                "pretraining is rotnet, and modalities is audio: a sound cannot be rotated; give "
                "--pretraining labels, cl or simclr"
            )
        return self

    @property
    def fused_size(self) -> int:
        """Size d of the features z-bar; with two modalities these are the fusion layer's."""
        return self.fusion_size if self.modalities == "both" else super().fused_size

    def _features_suffice(self) -> None:
        if self.modalities != "both":
            super()._features_suffice()
        else:
            self._are_so_many_features("of fusion_size", "make fusion_size larger")


class Machine(_Frozen):
    """What decides how fast the network goes, here, not what it finds."""

    device: str = Field("auto", description="auto, cpu, cuda or cuda:1")
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="computing threads; unset = one for a small network, else all",
    )
    workers: int | None = Field(
        None, ge=0, le=256, description="decoding processes; unset = one per core, up to 8"
    )


class Runtime(Machine):
    """What decides how fast a run goes and when it stops, not what it finds."""

    cache: Cache = Field(
        "auto",
        description="where decoded images, or clips of a set number of places, are kept; auto: "
        "wherever they fit",
    )
    max_bad: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of unreadable files, texts and archives not counted, above which the "
        "run stops",
    )
    checkpoint_seconds: float = Field(60.0, ge=0, description="least time between checkpoints")
    compile: bool = Field(
        False,
        description="let torch.compile make the network's passes and the losses of two views in "
        "training: minutes at the first step, for faster ones after it on some devices; for a run "
        "of one process",
    )
    shelf: Path | None = Field(
        None,
        description="a folder where finished pretraining of baselines is kept, and found by runs "
        "that would train the same again; `reproduce` takes OUT/pretrained unless told otherwise",
    )
