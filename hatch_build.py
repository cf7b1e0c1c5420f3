"""README for package indexes: links that are relative to the repository become addresses."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ReadmeHook(MetadataHookInterface):
    """Fills in `readme`, which pyproject.toml calls dynamic."""

    def update(self, metadata: dict) -> None:
        source = metadata["urls"]["Source"]
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = re.sub(r"\]\((?!\w+:|#)", f"]({source}/blob/main/", text)
        text = re.sub(r'<img src="(?!\w+:)', f'<img src="{source}/raw/main/', text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
