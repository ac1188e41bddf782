import pytest
from distinct_networks import is_like_another
from sampling import ALL


def pytest_collection_modifyitems(items):
    slow = [item for item in items if item.get_closest_marker("slow") and hasattr(item, "callspec")]
    for item in slow if not ALL else ():
        if is_like_another(item.callspec.params.get("name")):
            item.add_marker(pytest.mark.skip(reason="like another of its kind; CONVZOO_TEST=all runs it"))
