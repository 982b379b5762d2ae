"""What can be wrong with a segment; the text names the segment and what was found."""

from __future__ import annotations


class SegmentError(Exception):
    """The segment is absent, foreign, of another layout, or too small."""


class SegmentInUse(SegmentError):
    """A living farm owns the segment of this name."""


class LockTimeout(SegmentError):
    """A lock stayed with a living holder for longer than its longest hold."""
