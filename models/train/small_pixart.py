"""The small PixArt: a `PixArtSigmaPipeline` whose transformer alone is trained, and the noise that it predicts.

Diffusion runs on the pixels: the VAE is set by hand to hand them through. The text encoder is a T5 with random weights
that stay as they were drawn; all it has to do is to give each caption a vector of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.load.hub import require_torch
from models.load.pipeline import load_pipeline

#: Side of a picture, pixels a token's side, noise levels.
SIDE, PATCH, LEVELS = 32, 2, 1000
#: Width of a caption's token.
CAPTION_CHANNELS = 64
#: The noise of a `DDPM`: betas rise linearly, as in PixArt (arXiv 2310.00426) and DDPM (arXiv 2006.11239).
BETAS = (1e-4, 2e-2)
#: Large beside a pixel, so that the VAE's normalisations divide by it alone.
_LARGE = 256.0


def caption(kind: str) -> str:
    """What a picture of a kind is said to be."""
    return f"a photo of {kind.lower()}"


def build_pipeline(kinds: Sequence[str], *, heads: int, blocks: int, seed: int) -> Any:
    """An untrained float32 `PixArtSigmaPipeline` for captions of `kinds`; its transformer has `heads` of 64 channels.

    The output is the noise alone: there is no learned variance, for which PixArt has twice the channels. The text
    encoder's weights are bfloat16 values: what is trained with is what is stored.
    """
    require_torch()
    import torch
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        words = sorted({word for kind in kinds for word in caption(kind).split()})
        letters = [chr(code) for code in range(33, 127)]
        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -8.0), *((f"▁{word}", -2.0) for word in words),
                  *((letter, -10.0) for letter in letters)]
        transformer = PixArtTransformer2DModel(
            num_attention_heads=heads, attention_head_dim=64, cross_attention_dim=64 * heads, num_layers=blocks,
            in_channels=3, out_channels=3, sample_size=SIDE, patch_size=PATCH, caption_channels=CAPTION_CHANNELS,
            use_additional_conditions=False)
        encoder = T5EncoderModel(T5Config(
            vocab_size=len(pieces), d_model=CAPTION_CHANNELS, d_kv=32, d_ff=128, num_layers=1, num_heads=2))
    return PixArtSigmaPipeline(
        tokenizer=T5Tokenizer(vocab=pieces, extra_ids=0), text_encoder=encoder.bfloat16().float().eval(),
        vae=identity_vae(), transformer=transformer, scheduler=DPMSolverMultistepScheduler(
            num_train_timesteps=LEVELS, beta_start=BETAS[0], beta_end=BETAS[1], beta_schedule="linear"))


def identity_vae() -> Any:
    """An `AutoencoderKL` whose latents are the pixels, to about 1e-4 in float32.

    Each colour x is carried as the four channels x, −x, L, −L of one group, L large. Residual blocks add zero. The
    group's mean is 0 and its deviation L/√2 as near as L is large, so that normalising gives x·√2/L; and as
    SiLU(z) − SiLU(−z) = z for every z, the last convolution finds x again. The logarithm of the variance is −30.
    """
    import torch
    from diffusers import AutoencoderKL

    vae: Any = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=3, block_out_channels=(12,), layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",), norm_num_groups=3,
        scaling_factor=1.0, mid_block_add_attention=False, use_quant_conv=False, use_post_quant_conv=False)
    with torch.no_grad():
        for name, value in vae.named_parameters():
            value.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        for half in (vae.encoder, vae.decoder):
            for colour in range(3):
                first = 4 * colour
                half.conv_in.weight[first, colour, 1, 1], half.conv_in.weight[first + 1, colour, 1, 1] = 1.0, -1.0
                half.conv_in.bias[first + 2], half.conv_in.bias[first + 3] = _LARGE, -_LARGE
                half.conv_out.weight[colour, first, 1, 1] = _LARGE / 2**0.5
                half.conv_out.weight[colour, first + 1, 1, 1] = -_LARGE / 2**0.5
        vae.encoder.conv_out.bias[3:] = -30.0
    return vae.eval()


def encode_captions(pipe: Any, captions: Sequence[str]) -> tuple[Any, Any]:
    """(float32[n, T, 64], float32[n, T]): captions as the transformer takes them and which of their tokens count.

    T is that of the longest one; the pipeline pads to 300 tokens, which count nothing.
    """
    import torch

    tokens = pipe.tokenizer(list(captions), padding="longest", return_tensors="pt")
    with torch.no_grad():
        encoded = pipe.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
    return encoded.float(), tokens.attention_mask.float()


def noise_levels() -> tuple[np.ndarray, np.ndarray]:
    """(a, σ), float64[1000]: a noisy picture of level t is x_t = a[t]·x + σ[t]·ε, and a² + σ² = 1."""
    kept = np.cumprod(1 - np.linspace(*BETAS, LEVELS))
    return np.sqrt(kept), np.sqrt(1 - kept)


def scaled(pixels: np.ndarray) -> np.ndarray:
    """uint8 pixels as float32 in −1…1."""
    return (pixels / np.float32(127.5) - 1).astype(np.float32)


def add_noise(x: Any, noise: Any, levels: np.ndarray) -> Any:
    """Tensor like `x`, [n, 3, H, W], each picture at its level of `levels`, int64[n]."""
    import torch

    a, sigma = (torch.from_numpy(value[levels].astype(np.float32))[:, None, None, None] for value in noise_levels())
    return a * x + sigma * noise


def predict(transformer: Any, noisy: Any, levels: np.ndarray, text: Any, mask: Any) -> Any:
    """The transformer's estimate of the noise, a tensor like `noisy`."""
    import torch

    return transformer(noisy, encoder_hidden_states=text, encoder_attention_mask=mask,
                       timestep=torch.from_numpy(levels),
                       added_cond_kwargs={"resolution": None, "aspect_ratio": None}, return_dict=False)[0]


def random_twin(transformer: Any, seed: int) -> Any:
    """A transformer of the same shape with freshly drawn weights, in evaluation mode."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return type(transformer).from_config(transformer.config).eval()


def load(folder: Path) -> Any:
    """The `PixArtSigmaPipeline` of a folder that `models.train.pixart` wrote, in float32. Raises TraceError."""
    return load_pipeline(str(folder), "float32").pipe
