"""Tiny random text-to-image pipelines in the hub's own layout, and their dumps, for the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.dump import capture
from stamp_hw.cli.main import main
from tests.support.dump_cases import command

FAMILIES = ("pixart", "sana")
PROMPTS = ("a red boat on the lake", "the old town at night")
STEPS, RUN = (1, 3), 4  # captured, of so many
SIZE = {"pixart": (32, 48), "sana": (128, 160)}
GRID = {"pixart": (4, 6), "sana": (4, 5)}
WORDS = ("a", "red", "boat", "on", "the", "lake", "old", "town", "at", "night")
LAYERS = 2


def pixart(folder: Path, seed: int, **changes: Any) -> Path:
    """A `PixArtSigmaPipeline`: 2 blocks of 24 channels, patches of 2 × 2 latents, a VAE that halves twice."""
    import torch
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    torch.manual_seed(seed)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *((f"▁{word}", -2.0) for word in WORDS), ("▁", -5.0)]
    transformer = PixArtTransformer2DModel(**{
        "num_attention_heads": 3, "attention_head_dim": 8, "in_channels": 4, "out_channels": 8, "num_layers": LAYERS,
        "cross_attention_dim": 24, "sample_size": 8, "patch_size": 2, "caption_channels": 20,
        "use_additional_conditions": False, **changes})
    pipe = PixArtSigmaPipeline(
        tokenizer=T5Tokenizer(vocab=pieces, extra_ids=0),
        text_encoder=T5EncoderModel(T5Config(vocab_size=40, d_model=20, d_kv=5, d_ff=24, num_layers=1,
                                             num_heads=4)),
        vae=AutoencoderKL(block_out_channels=(4, 4, 4), down_block_types=("DownEncoderBlock2D",) * 3,
                          up_block_types=("UpDecoderBlock2D",) * 3, latent_channels=4, norm_num_groups=1),
        transformer=transformer, scheduler=DPMSolverMultistepScheduler())
    return _save(pipe, folder)


def sana(folder: Path, seed: int, **changes: Any) -> Path:
    """A `SanaPipeline`: 2 blocks of 24 channels, a latent a token, an autoencoder that divides by 32."""
    import torch
    from diffusers import AutoencoderDC, FlowMatchEulerDiscreteScheduler, SanaPipeline, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

    torch.manual_seed(seed)
    letters = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *map(chr, range(32, 127))]
    transformer = SanaTransformer2DModel(**{
        "in_channels": 6, "out_channels": 6, "num_attention_heads": 3, "attention_head_dim": 8, "num_layers": LAYERS,
        "num_cross_attention_heads": 2, "cross_attention_head_dim": 12, "cross_attention_dim": 24,
        "caption_channels": 16, "mlp_ratio": 2.5, "sample_size": 8, "patch_size": 1, **changes})
    pipe = SanaPipeline(
        tokenizer=GemmaTokenizer(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]),
        text_encoder=Gemma2Model(Gemma2Config(
            vocab_size=len(letters), hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, head_dim=8, pad_token_id=0, eos_token_id=1, bos_token_id=2)),
        vae=AutoencoderDC(in_channels=3, latent_channels=6, attention_head_dim=4, encoder_block_types="ResBlock",
                          decoder_block_types="ResBlock", encoder_block_out_channels=(12,) * 6,
                          decoder_block_out_channels=(12,) * 6, encoder_layers_per_block=(1,) * 6,
                          decoder_layers_per_block=(1,) * 6, encoder_qkv_multiscales=((),) * 6,
                          decoder_qkv_multiscales=((),) * 6),
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler())
    return _save(pipe, folder)


def _save(pipe: Any, folder: Path) -> Path:
    pipe.save_pretrained(folder)
    (folder / "prompts.txt").write_text("\n\n".join(PROMPTS), encoding="utf-8")
    return folder


def words(folder: Path, out: Path, *more: str) -> list[str]:
    """Options of a small dump of `folder`, with those of `more` instead of its own."""
    size = SIZE[folder.name]
    given = {"--steps": ",".join(map(str, STEPS)), "--inference-steps": str(RUN), "--size": f"{size[0]}x{size[1]}",
             "--model": str(folder), "--prompts": str(folder / "prompts.txt"), "--out": str(out)}
    return [word for name, value in given.items() if name not in more for word in (name, value)] + list(more)


def dump(folder: Path, out: Path, *more: str) -> Path:
    """A small dump."""
    assert command("dump", *words(folder, out, *more)) == 0
    return out


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line of a dump that is refused with exit code 2."""
    assert main(["trace", "dump", *argv]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and line.startswith("stamp-hw: ") and len(line) < 1500
    return line


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int, error: Callable[[], BaseException] = KeyboardInterrupt
              ) -> list[str]:
    """Let `after` layers be recorded, then raise; the list takes the runs whose layers were recorded."""
    seen: list[str] = []
    real = capture.Recorder.__call__

    def record(self: Any, *args: Any) -> None:
        if len(seen) == after:
            raise error()
        seen.append(self.where)
        real(self, *args)

    monkeypatch.setattr(capture.Recorder, "__call__", record)
    return seen
