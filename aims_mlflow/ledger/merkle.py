"""The Merkle tree of RFC 6962: hashes, roots, inclusion and consistency proofs.

Leaves are given as leaf hashes (32 bytes). Every proof is a list of roots of contiguous ranges of
leaves, so one geometry serves to make proofs in one streaming pass and to check them.

Source: RFC 6962 section 2.1, https://www.rfc-editor.org/rfc/rfc6962#section-2.1
"""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Bytes of one hash.
HASH_SIZE = 32
#: Root of the tree without leaves.
EMPTY_ROOT = hashlib.sha256(b"").digest()

#: Leaves `start` (included) to `stop` (excluded).
_Range = tuple[int, int]


def leaf_hash(data: bytes) -> bytes:
    """Hash of one leaf, 32 bytes; the prefix keeps leaves and nodes apart."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node over its two children, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class CompactRange:
    """The roots of the complete subtrees of a growing tree: enough to append and to know the root.

    It holds one hash for each 1 in the binary form of `size`, the largest subtree first.

    Args:
        size: Leaves so far.
        peaks: Their subtree roots, 32 bytes each.

    Raises:
        ValueError: The number or the length of the peaks does not fit the size.

    >>> tree = CompactRange()
    >>> tree.append(leaf_hash(b""))
    >>> tree.size, tree.root().hex()[:12]
    (1, '6e340b9cffb3')
    """

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)
        if len(self._peaks) != size.bit_count() or any(len(p) != HASH_SIZE for p in self._peaks):
            raise ValueError(f"{len(self._peaks)} hashes cannot be the peaks of {size} leaves")

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> CompactRange:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: The bytes do not fit the size.
        """
        return cls(size, (data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)))

    def to_bytes(self) -> bytes:
        """The peaks one after the other; the size is kept beside them."""
        return b"".join(self._peaks)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash at the end."""
        node, size = leaf, self.size
        while size & 1:
            node = node_hash(self._peaks.pop(), node)
            size >>= 1
        self._peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Root of the tree over all leaves so far, 32 bytes."""
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Root over leaf hashes, streaming; `EMPTY_ROOT` where there are none."""
    tree = CompactRange()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def inclusion_path(leaves: Iterable[bytes], index: int, size: int) -> tuple[bytes, ...]:
    """The proof that leaf `index` is in the tree of the first `size` leaves, bottom up.

    Args:
        leaves: Leaf hashes from the first on, at least `size` of them; read once, not kept.
        index: Place of the leaf, from 0.
        size: Leaves in the tree.

    Raises:
        ValueError: `index` is not below `size`, or there are fewer leaves.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    return _roots(leaves, _inclusion_ranges(index, size))


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> bool:
    """Whether `path` proves that `leaf` stands at `index` in the tree with this size and root."""
    if not 0 <= index < size or not _are_hashes(leaf, root, *path):
        return False
    ranges = _inclusion_ranges(index, size)
    if len(path) != len(ranges):
        return False
    node = leaf
    for (start, _), sibling in zip(ranges, path, strict=True):
        node = node_hash(node, sibling) if start > index else node_hash(sibling, node)
    return node == root


def consistency_path(leaves: Iterable[bytes], old: int, new: int) -> tuple[bytes, ...]:
    """The proof that the tree of the first `new` leaves only appended to that of the first `old`.

    Args:
        leaves: Leaf hashes from the first on, at least `new` of them; read once, not kept.
        old: Leaves in the older tree, at least 1.
        new: Leaves in the newer tree, at least `old`.

    Raises:
        ValueError: The sizes do not fit, or there are fewer leaves.
    """
    if not 0 < old <= new:
        raise ValueError(f"a tree of {old} leaves cannot grow into one of {new}")
    return _roots(leaves, _consistency_ranges(old, new))


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether `path` proves that the newer tree begins with the older one.

    An empty older tree proves nothing and is refused.
    """
    if not 0 < old <= new or not _are_hashes(*path):
        return False
    ranges = _consistency_ranges(old, new)
    if len(path) != len(ranges):
        return False
    steps = list(zip(ranges, path, strict=True))
    older = newer = old_root
    # Where the old tree is no subtree of the new one, the proof begins with its last part.
    if ranges and ranges[0][0] < old:
        older = newer = steps.pop(0)[1]
    for (start, _), sibling in steps:
        if start < old:
            older = node_hash(sibling, older)
            newer = node_hash(sibling, newer)
        else:
            newer = node_hash(newer, sibling)
    return older == old_root and newer == new_root


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)


def _middle(start: int, stop: int) -> int:
    """Where RFC 6962 splits a range: after the largest power of two below its length."""
    return start + (1 << ((stop - start - 1).bit_length() - 1))


def _inclusion_ranges(index: int, size: int) -> list[_Range]:
    start, stop = 0, size
    ranges: list[_Range] = []
    while stop - start > 1:
        middle = _middle(start, stop)
        if index < middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def _consistency_ranges(old: int, new: int) -> list[_Range]:
    start, stop = 0, new
    ranges: list[_Range] = []
    while stop != old:
        middle = _middle(start, stop)
        if old <= middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:
        ranges.append((start, stop))
    return ranges[::-1]


def _roots(leaves: Iterable[bytes], ranges: list[_Range]) -> tuple[bytes, ...]:
    stream, position = iter(leaves), 0
    roots: dict[_Range, bytes] = {}
    for start, stop in sorted(ranges):
        part = CompactRange()
        for leaf in islice(stream, start - position, stop - position):
            part.append(leaf)
        if part.size != stop - start:
            raise ValueError(f"there are fewer leaves than {stop}")
        roots[start, stop] = part.root()
        position = stop
    return tuple(roots[each] for each in ranges)
