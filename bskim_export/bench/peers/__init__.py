"""What else runs a dense model on a CPU, each as its own users run it: the same weights, windows and answers.

A peer takes a batch of windows, padded to the longest of them and no further, and gives their logits. All that is
around it is ours for all: tokeniser, windows, decoding.
"""

from bskim_export.bench.peers.base import Peer, PeerRunner, Unavailable
from bskim_export.bench.peers.catalogue import PEERS, Source, open_peers

__all__ = ["PEERS", "Peer", "PeerRunner", "Source", "Unavailable", "open_peers"]
