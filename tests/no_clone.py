"""Makes this process one in which neither the clone nor what is optional can be imported, however it is installed."""

import sys
from importlib.abc import MetaPathFinder


class NoClone(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {"modeling", "processing", "scripts", "tests"}:
            raise ImportError(f"{name} must not be needed")


sys.meta_path.insert(0, NoClone())
sys.modules.update(dict.fromkeys(("peft", "rapidocr"), None))
