"""Record and compare the digest of a backbone's weights, which lie outside the run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from copycat.config.errors import UserError
from copycat.models.stored_weights import KEY, store_weights, stored_file, weights_digest
from copycat.models.transfer import FineTuned, Transfer


def backbone_record(network: nn.Module) -> dict[str, str]:
    """Return the manifest entry for a network's initial backbone weights; empty where it has no backbone."""
    if not isinstance(network, (Transfer, FineTuned)):
        return {}
    return {KEY: weights_digest(network.backbone.state_dict())}


def store_backbone(network: nn.Module) -> dict[str, str]:
    """Return the manifest entry, as `backbone_record`, and store the weights in the cache that runs share."""
    record = backbone_record(network)
    if record and isinstance(network, (Transfer, FineTuned)):
        store_weights(network.backbone.state_dict(), record[KEY])
    return record


def backbone_change(network: nn.Module, manifest: Mapping[str, Any]) -> str | None:
    """Describe how a backbone differs from the recorded one; None where it does not, or none is recorded."""
    recorded, now = manifest["provenance"].get(KEY), backbone_record(network).get(KEY)
    return None if recorded in (None, now) else f"its weights were {recorded:.12} and are {now:.12} now"


def check_backbone(network: nn.Module, manifest: Mapping[str, Any], *, folder: Path) -> None:
    """Raise a UserError where a frozen backbone has other weights than a run was trained on."""
    if isinstance(network, Transfer) and (change := backbone_change(network, manifest)):
        raise UserError(
            f"{folder}: expected the backbone that the run was trained on; {change}."
            " Put back the file that model.weights names, or the version of the package,"
            f" or {stored_file(manifest['provenance'][KEY])}."
        )
