import sys
from pathlib import Path

# pytest's importlib mode leaves helper modules beside the tests unfound.
sys.path.insert(0, str(Path(__file__).parent))
