#!/usr/bin/env python3
"""Does `so-arm import-lerobot` make bundles that say what LeRobot says? Prints how far they are apart.

Run by hand, in an environment of its own that has lerobot; docs/lerobot.md says how to make one:

    python tools/check_import_lerobot.py [--keep FOLDER] [--only act,diffusion,smolvla]

Checkpoints are made by lerobot's own classes with random weights and saved by lerobot, then imported as anyone's would
be. --keep leaves checkpoints and bundles in FOLDER. Exits with 1 when a bundle is off by more than the bound.
"""
# ruff: noqa: T201

import argparse
import importlib.metadata
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from so_arm_policy.core.errors import SoArmError  # noqa: E402
from so_arm_policy.learn.datasets.units import Units  # noqa: E402
from so_arm_policy.learn.import_lerobot_command import quiet, report  # noqa: E402
from so_arm_policy.learn.lerobot_policies.convert import import_policy  # noqa: E402
from so_arm_policy.learn.lerobot_policies.loading import part, prepare  # noqa: E402
from so_arm_policy.learn.lerobot_policies.order import Order  # noqa: E402
from so_arm_policy.learn.lerobot_policies.parity import BOUND_RAD  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402

ROBOT = load_robot("so101")
SENTENCES = ("Touch the red cube.", "touch the blue cube", "Reach for the green cube!", "go to the yellow cube")


@dataclass(frozen=True)
class Case:
    """One checkpoint: its kind, what its configuration says besides the defaults, and how it is imported."""

    name: str
    kind: str
    config: dict
    size: tuple = (96, 128)
    cameras: dict = field(default_factory=lambda: {"front": "overhead", "wrist": "wrist"})
    order: dict = field(default_factory=dict)
    buffered: bool = False  # normalisation among the weights, as before lerobot 0.4


SMALL_ACT = {"dim_model": 64, "n_heads": 4, "dim_feedforward": 128, "n_encoder_layers": 2, "chunk_size": 30}
SMALL_VLA = {"resize_imgs_with_padding": (64, 64), "chunk_size": 12, "n_action_steps": 12, "num_vlm_layers": 4}
SMALL_UNET = {"down_dims": (32, 64), "diffusion_step_embed_dim": 32, "spatial_softmax_num_keypoints": 8}
CASES = (
    Case("act_full", "act", {}),
    Case("act_small", "act", SMALL_ACT | {"n_action_steps": 10, "pre_norm": True, "n_decoder_layers": 2}),
    Case("act_before_0_4", "act", SMALL_ACT | {"n_action_steps": 30}, buffered=True),
    Case(
        "act_one_camera",
        "act",
        SMALL_ACT | {"n_action_steps": 30, "use_vae": False},
        cameras={"top": "overhead"},
        order={"units": Units.NORMALIZED, "joints": tuple(reversed([f"{name}.pos" for name in ROBOT.joint_names]))},
    ),
    Case("diffusion_ddpm", "diffusion", SMALL_UNET | {"num_train_timesteps": 4}),
    Case(
        "diffusion_ddim",
        "diffusion",
        {"noise_scheduler_type": "DDIM", "num_inference_steps": 5, "down_dims": (128, 256)},
    ),
    Case(
        "diffusion_resized",
        "diffusion",
        SMALL_UNET
        | {"resize_shape": (64, 72), "crop_ratio": 0.9, "use_separate_rgb_encoder_per_camera": True, "n_obs_steps": 3}
        | {"prediction_type": "sample", "noise_scheduler_type": "DDIM"},
        order={"steps": 3},
    ),
    Case("smolvla", "smolvla", SMALL_VLA),
    Case(
        "smolvla_otherwise",
        "smolvla",
        SMALL_VLA
        | {"add_image_special_tokens": True, "pad_language_to": "max_length", "prefix_length": 80, "num_steps": 3}
        | {"self_attn_every_n_layers": 3, "empty_cameras": 1},
        cameras={"camera1": "wrist"},
    ),
)


def checkpoint(case, folder, vlm):
    """Save a policy with random weights and its pipelines, as lerobot's training does. Returns how to import it."""
    kind, n = case.kind, len(ROBOT.joints)
    feature, types = part("configs.types", "PolicyFeature"), part("configs.types", "FeatureType")
    pictures = {f"observation.images.{name}": feature(types.VISUAL, (3, *case.size)) for name in case.cameras}
    names = {"act": "ACT", "diffusion": "Diffusion", "smolvla": "SmolVLA"}
    config = part(f"policies.{kind}.configuration_{kind}", f"{names[kind]}Config")(
        device="cpu",
        push_to_hub=False,
        input_features={"observation.state": feature(types.STATE, (n,)), **pictures},
        output_features={"action": feature(types.ACTION, (n,))},
        **({"pretrained_backbone_weights": None} if kind != "smolvla" else {"vlm_model_name": str(vlm)}),
        **case.config,
    )
    torch.manual_seed(len(case.name))
    policy = part(f"policies.{kind}.modeling_{kind}", f"{names[kind]}Policy")(config).eval()
    statistics = {key: stats_of((3, 1, 1), 0.0, 1.0) for key in pictures}
    statistics |= {key: stats_of((n,), -90.0, 90.0) for key in ("observation.state", "action")}
    policy.save_pretrained(folder)
    if case.buffered:
        move_into_weights(folder, statistics)
    else:
        make = part(f"policies.{kind}.processor_{kind}", f"make_{kind}_pre_post_processors")
        for pipeline in make(config, statistics):
            pipeline.save_pretrained(folder)
    return Order(
        task=case.name,
        instructions=SENTENCES,
        cameras={f"observation.images.{name}": camera for name, camera in case.cameras.items()},
        vlm=vlm if kind == "smolvla" else None,
        **case.order,
    )


def language_model(folder):
    """Save configuration, tokenizer and processor of a tiny SmolVLM, whose weights come with the policy's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        PreTrainedTokenizerFast,
        SmolVLMConfig,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    special = ["<|endoftext|>", "<|im_end|>", "<fake_token_around_image>", "<global-img>", "<image>"]
    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    pairs.train_from_iterator([f"{text}\n" for text in SENTENCES], trainer)
    named = {"fake_image_token": special[2], "global_image_token": special[3], "image_token": special[4]}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pairs, eos_token=special[0], pad_token=special[1], extra_special_tokens=named
    )
    vision = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 6}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": len(tokenizer)}
    SmolVLMConfig(
        vision_config=vision | {"image_size": 64, "patch_size": 16},
        text_config=text,
        scale_factor=2,
        image_token_id=tokenizer.image_token_id,
        pad_token_id=tokenizer.pad_token_id,
    ).save_pretrained(folder)
    SmolVLMProcessor(SmolVLMImageProcessor(), tokenizer, SmolVLMVideoProcessor()).save_pretrained(folder)


def stats_of(shape, low, high):
    """Random statistics of numbers between low and high."""
    width = high - low
    lowest, highest = low + 0.2 * width * torch.rand(shape), high - 0.2 * width * torch.rand(shape)
    return {
        "min": lowest,
        "max": highest,
        "mean": (lowest + highest) / 2 + 0.05 * width * torch.randn(shape),
        "std": 0.2 * width + 0.1 * width * torch.rand(shape),
    }


def move_into_weights(folder, statistics):
    """Turn a checkpoint into what lerobot wrote before 0.4: statistics as buffers of the policy."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    for key, stats in statistics.items():
        for start in ("normalize_inputs", "normalize_targets", "unnormalize_outputs"):
            if (key == "action") == (start != "normalize_inputs"):
                values = {name: stats[name] for name in ("mean", "std")}
                weights |= {f"{start}.buffer_{key.replace('.', '_')}.{n}": v.clone() for n, v in values.items()}
    save_file(weights, folder / "model.safetensors")


def main():
    """Make, import and compare every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="where checkpoints and bundles stay")
    parser.add_argument("--only", default="act,diffusion,smolvla", help="kinds or names of cases, with commas")
    options = parser.parse_args()
    quiet()
    prepare()
    packages = ("lerobot", "torch", "torchvision", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        vlm = folder / "vlm"
        if "smolvla" in options.only:
            language_model(vlm)
        for case in [case for case in CASES if {case.kind, case.name} & set(options.only.split(","))]:
            order = checkpoint(case, folder / "checkpoints" / case.name, vlm)
            bundle = folder / "bundles" / case.name
            try:
                print(report(import_policy(folder / "checkpoints" / case.name, bundle, ROBOT, order), bundle, ROBOT))
            except Exception as error:  # noqa: BLE001 - a case that breaks must not hide the others
                print(f"{case.name}: {'' if isinstance(error, SoArmError) else traceback.format_exc()}{error}")
                failures.append(case.name)
    print(f"FAILED: {failures}" if failures else f"all within {BOUND_RAD:.0e} rad of lerobot")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
