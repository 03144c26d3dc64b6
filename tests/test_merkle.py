"""The Merkle tree against published values, and against itself."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aims_mlflow.ledger.merkle import (
    EMPTY_ROOT,
    CompactRange,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

#: The reference tree of Certificate Transparency: eight inputs, and the root after each.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243"),
        *("5051525354555657", "606162636465666768696a6b6c6d6e6f"),
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(data) for data in INPUTS]

trees = st.lists(st.binary(max_size=4), min_size=1, max_size=70).map(
    lambda inputs: [leaf_hash(data) for data in inputs]
)


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert EMPTY_ROOT == root_of([]) == hashlib.sha256(b"").digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_of_the_reference_tree(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_paths_of_the_seven_leaf_tree_of_the_rfc() -> None:
    """RFC 6962 section 2.1.3 spells these out for its tree of seven leaves."""
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, m = node_hash(g, h), node_hash(i, j)
    seven = LEAVES[:7]
    assert inclusion_path(seven, 0, 7) == (b, h, m)
    assert inclusion_path(seven, 3, 7) == (c, g, m)
    assert inclusion_path(seven, 4, 7) == (f, j, k)
    assert inclusion_path(seven, 6, 7) == (i, k)
    assert consistency_path(seven, 3, 7) == (c, d, g, m)
    assert consistency_path(seven, 4, 7) == (m,)
    assert consistency_path(seven, 6, 7) == (i, j, k)


@given(trees, st.data())
def test_every_leaf_is_proven_and_no_other_is(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path, root = inclusion_path(leaves, index, len(leaves)), root_of(leaves)
    assert verify_inclusion(leaves[index], index, len(leaves), path, root)
    assert not verify_inclusion(leaf_hash(b"other leaf"), index, len(leaves), path, root)
    assert not verify_inclusion(leaves[index], index, len(leaves), (*path, root), root)
    assert not verify_inclusion(leaves[index], len(leaves), len(leaves), path, root)


@given(trees, st.data())
def test_growth_is_proven_and_a_rewrite_is_not(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    path = consistency_path(leaves, old, len(leaves))
    before, after = root_of(leaves[:old]), root_of(leaves)
    assert verify_consistency(old, len(leaves), before, after, path)
    rewritten = root_of([leaf_hash(b"rewritten"), *leaves[1:]])
    assert not verify_consistency(old, len(leaves), before, rewritten, path)
    assert not verify_consistency(old, len(leaves), before, after, (*path, after))


@given(trees)
def test_a_stored_range_grows_like_one_that_was_never_stored(leaves: list[bytes]) -> None:
    tree = CompactRange()
    for leaf in leaves:
        tree = CompactRange.from_bytes(tree.size, tree.to_bytes())
        tree.append(leaf)
    assert (tree.size, tree.root()) == (len(leaves), root_of(leaves))


def test_what_cannot_be_proven_is_refused() -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        inclusion_path(LEAVES, 8, 8)
    with pytest.raises(ValueError, match="fewer leaves"):
        inclusion_path(LEAVES[:5], 1, 8)
    with pytest.raises(ValueError, match="cannot grow"):
        consistency_path(LEAVES, 8, 7)
    with pytest.raises(ValueError, match="peaks"):
        CompactRange.from_bytes(3, LEAVES[0])
    assert not verify_consistency(0, 8, EMPTY_ROOT, root_of(LEAVES), ())


def _vectors() -> dict[str, list[dict[str, Any]]]:
    beside = Path(__file__).resolve().parents[2] / "shared" / "vectors"
    folder = Path(os.environ.get("AIMS_VECTORS_DIR") or beside)
    file = folder / "merkle_proofs.json"
    if not file.is_file():
        pytest.skip("no merkle_proofs.json; set AIMS_VECTORS_DIR to the folder that has it")
    found: dict[str, list[dict[str, Any]]] = json.loads(file.read_text())
    return found


def _bytes(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def _path(vector: dict[str, Any]) -> list[bytes]:
    return [_bytes(item) for item in vector["proof"] or []]


def test_published_inclusion_vectors() -> None:
    for vector in _vectors()["inclusion"]:
        accepted = verify_inclusion(
            _bytes(vector["leafHash"]),
            vector["leafIdx"],
            vector["treeSize"],
            _path(vector),
            _bytes(vector["root"]),
        )
        assert accepted is not vector["wantErr"], vector["name"]


def test_published_consistency_vectors() -> None:
    for vector in _vectors()["consistency"]:
        accepted = verify_consistency(
            vector["size1"],
            vector["size2"],
            _bytes(vector["root1"]),
            _bytes(vector["root2"]),
            _path(vector),
        )
        assert accepted is not vector["wantErr"], vector["name"]
