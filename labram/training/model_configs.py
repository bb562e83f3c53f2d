"""Model configurations of a recipe."""

from labram.models.config import BackboneConfig, TokenizerConfig
from labram.recipe import ArchitectureRecipe, TokenizerRecipe


def tokenizer_config(architecture: ArchitectureRecipe, recipe: TokenizerRecipe) -> TokenizerConfig:
    """Return the tokenizer's configuration."""
    encoder = architecture.tokenizer or architecture
    return TokenizerConfig(
        width=encoder.width,
        conv_channels=encoder.conv_channels,
        depth=encoder.depth,
        heads=encoder.heads,
        codes=architecture.codes,
        decoder_depth=architecture.decoder_depth,
        code_width=architecture.code_width,
        ema_decay=recipe.ema_decay,
        patch_embedding=architecture.patch_embedding,
    )


def backbone_config(architecture: ArchitectureRecipe, codes: int) -> BackboneConfig:
    """Return the backbone's configuration for a codebook of `codes` codes."""
    return BackboneConfig(
        width=architecture.width,
        conv_channels=architecture.conv_channels,
        depth=architecture.depth,
        heads=architecture.heads,
        codes=codes,
        layer_scale=architecture.layer_scale,
        patch_embedding=architecture.patch_embedding,
    )
