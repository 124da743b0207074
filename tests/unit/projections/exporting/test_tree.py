"""The tree is that of RFC 6962, by the vectors that implementations of Certificate Transparency share."""

from hashlib import sha256

import pytest

from deploy.verify_export import Export
from projections.exporting.tree import Tree

LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    sha256().hexdigest(),
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_roots_are_those_of_the_standard(size: int) -> None:
    tree, other = Tree(), Export(None, demanded=False)
    for leaf in LEAVES[:size]:
        tree.add(leaf)
        other.take_leaf(leaf)
    assert tree.root() == ROOTS[size]
    assert other.root() == ROOTS[size]
    assert tree.size == size


def test_it_holds_no_more_than_its_height() -> None:
    tree = Tree()
    for number in range(5_000):
        tree.add(number.to_bytes(4, "big"))
    assert len(tree._full) == (5_000).bit_count()
